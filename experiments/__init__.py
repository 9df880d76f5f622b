"""Jobs over finished runs: attest and merge."""
