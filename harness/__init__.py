"""Core modules that every stage may import."""
