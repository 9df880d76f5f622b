"""Score codes: of a variant (`score`), or of files that another program made (`codes`)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# This command is the only file of `evaluation` that imports the project. The library does not.
from harness.errors import BenchmarkError, one_line
from harness.plan import RESULTS, Score
from harness.schemas import RANKINGS

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Run one job."""
    from experiments.errors import USER_ERRORS

    arguments = _parser().parse_args()
    # Before a job imports NumPy: the bytes of a matrix product depend on its threads. The compiled
    # loops have threads of their own.
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
    try:
        arguments.job(arguments)
    except (*USER_ERRORS, OSError) as error:  # OSError: Numba caches the loops that it compiled
        sys.exit(f"evaluation: {one_line(error)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    jobs = parser.add_subparsers(required=True, metavar="JOB")

    scoring = jobs.add_parser("score", help="score the codes of one variant, or a control")
    scoring.set_defaults(job=score)
    for name in ("dataset", "features", "variant"):
        scoring.add_argument(name)

    scoring.add_argument(
        "--runs",
        nargs="+",
        required=True,
        metavar="BITS:SEED",
        help="the runs to score; 0:0 for a control",
    )
    scoring.add_argument(
        "--rankings",
        nargs="+",
        default=[],
        choices=list(RANKINGS),
        help="rankings of a method besides that by Hamming distance",
    )
    scoring.add_argument(
        "--root", type=Path, default=RESULTS, help="folder of the experiment with the scores"
    )
    scoring.add_argument(
        "--threads",
        type=int,
        help="threads of the compiled loops; default: all cores, or NUMBA_NUM_THREADS",
    )

    importing = jobs.add_parser("codes", help="score codes in files, for a prepared data set")
    importing.set_defaults(job=codes)
    importing.add_argument("dataset")
    importing.add_argument(
        "files",
        nargs="+",
        type=Path,
        help="codes of every image, or of queries and of database: .npy, .npz, .mat, .h5 or .pt; "
        "FILE:NAME selects one of several arrays",
    )
    importing.add_argument(
        "--bits", type=int, help="length of packed codes whose last byte is not full"
    )
    importing.add_argument("--metrics", nargs="+", help="for example map, map@1000[found]")
    return parser


def score(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        # Numba reads it once, when it is imported.
        os.environ["NUMBA_NUM_THREADS"] = str(arguments.threads)

    from harness import records

    records.source_digests("experiments", "scoring")  # before they are imported
    from experiments import scoring

    target = Score(arguments.root, arguments.dataset, arguments.features, arguments.variant)
    scoring.score(target, [_run(text) for text in arguments.runs], arguments.rankings)


def codes(arguments: argparse.Namespace) -> None:
    if len(arguments.files) > 2:
        raise BenchmarkError(
            f"found {len(arguments.files)} files: expected one with a code of every image, "
            "or two, of the queries and of the database"
        )

    from experiments import imported

    values = imported.score(arguments.dataset, arguments.files, arguments.bits, arguments.metrics)
    for name, value in values.items():
        digits = 0 if name == imported.LEFT_OUT else 4
        print(f"{name:16} {value:.{digits}f}")


def _run(text: str) -> tuple[int, int]:
    """Return `bits:seed` as two integers."""
    bits, _, seed = text.partition(":")
    if not (bits.isdecimal() and seed.isdecimal()):
        raise BenchmarkError(f"--runs {text}: expected bits:seed, as in 48:0")
    return int(bits), int(seed)


if __name__ == "__main__":
    main()
