"""`python -m experiments`: jobs over the records of finished runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.errors import BenchmarkError, one_line


def main() -> None:
    """Run one job. The exit status is 1 if a part of it could not be done."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    jobs = parser.add_subparsers(required=True, metavar="JOB")

    attesting = jobs.add_parser("attest", help="recompute a run per method; equal codes are proof")
    attesting.set_defaults(job=attest)
    attesting.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="a published folder, or `results`"
    )
    attesting.add_argument(
        "--each-variant", action="store_true", help="recompute a run per variant of a method"
    )

    merging = jobs.add_parser("merge", help="copy the runs of another checkout that are missing")
    merging.set_defaults(job=merge)
    merging.add_argument("results", type=Path, metavar="OTHER/results")

    arguments = parser.parse_args()
    try:
        complete = arguments.job(arguments)
    except (BenchmarkError, OSError) as error:
        sys.exit(f"experiments: {one_line(error)}")
    sys.exit(0 if complete else 1)


def attest(arguments: argparse.Namespace) -> bool:
    """Attest folders. Return whether all of their runs are up to date now."""
    from experiments import attesting

    return attesting.attest(arguments.folders, arguments.each_variant)


def merge(arguments: argparse.Namespace) -> bool:
    """Merge runs. Return whether none was refused."""
    from experiments import merging

    return merging.merge(arguments.results)


if __name__ == "__main__":
    main()
