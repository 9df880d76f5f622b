"""Figures: plots, training curves and retrieved images."""
