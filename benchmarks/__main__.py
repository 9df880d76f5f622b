"""`python -m benchmarks`: print the stored figures of all benchmarks as one table."""

from benchmarks import results

print(results.table())
