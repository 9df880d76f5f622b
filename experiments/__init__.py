"""Jobs over finished runs: each module is a job of `python -m experiments`, or a part of one."""
