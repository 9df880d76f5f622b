"""`python -m evaluation score DATASET FEATURES VARIANT --runs 12:0 12:1`: the metrics of the codes of one variant."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from harness.errors import BenchmarkError, one_line
from harness.plan import RESULTS, TUNED, Plan, Score


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    jobs = parser.add_subparsers(required=True, metavar="JOB")

    scoring = jobs.add_parser("score", help="score the codes of one variant, or a control")
    scoring.set_defaults(job=score)
    for name in ("dataset", "features", "variant"):
        scoring.add_argument(name)
    scoring.add_argument("--runs", nargs="+", required=True, metavar="BITS:SEED", help="the runs to score; 0:0 for a control")
    scoring.add_argument("--root", type=Path, default=RESULTS, help="folder of the experiment that the scores belong to")
    scoring.add_argument("--threads", type=int, help="threads of the compiled loops; default: all cores, or NUMBA_NUM_THREADS")

    importing = jobs.add_parser("codes", help="score codes made elsewhere against a prepared data set")
    importing.set_defaults(job=codes)
    importing.add_argument("dataset")
    importing.add_argument(
        "files", nargs="+", type=Path, help=".npy or .mat (FILE.mat:NAME): codes of every image, or of the queries and of the database"
    )
    importing.add_argument("--bits", type=int, help="length of the codes, where packed bytes do not say it")
    importing.add_argument("--metrics", nargs="+", help="as map, map@1000[found], precision@100")

    for name, job, what in (("collect", collect, "tables of all runs"), ("partial", partial, "the same of the runs that are there")):
        collecting = jobs.add_parser(name, help=f"write the {what}")
        collecting.set_defaults(job=job)
        collecting.add_argument("--plan", required=True, help="file of the plan, below cache/plans")
    collecting.add_argument("--running", action="store_true", help="jobs may be at work: a log without an end is no failure")

    timing = jobs.add_parser("timing", help="measure what fitting, encoding and searching cost, on an otherwise idle machine")
    timing.set_defaults(job=time_alone)
    timing.add_argument("--plan", required=True, help="file of the plan, below cache/plans")

    choosing = jobs.add_parser("choose", help="choose settings from the trials of a run of config/tuning.yaml")
    choosing.set_defaults(job=choose)
    choosing.add_argument("--results", type=Path, default=Path("results"), help="folder of what `collect` wrote")
    choosing.add_argument("--output", type=Path, default=TUNED, help="folder of DATASET.json; other choices stay")

    publishing = jobs.add_parser("publish", help="copy measured tables, with the record of every run, to results/published/NAME")
    publishing.set_defaults(job=publish)
    publishing.add_argument("name")
    publishing.add_argument("shown", nargs="*", help="tables and figures of the report, for example map.tex overview.svg")
    publishing.add_argument("--results", type=Path, default=Path("results"), help="folder of what `collect` and `report` wrote")
    publishing.add_argument("--add", action="store_true", help="join the complete cells to a folder that is already published")

    looking = jobs.add_parser("published", help="list which folders of results/published/ are out of date")
    looking.set_defaults(job=published)

    arguments = parser.parse_args()
    # Before a job imports NumPy: the bytes of a matrix product depend on its threads. The compiled loops have threads of their own.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    try:
        arguments.job(arguments)
    except (BenchmarkError, OSError) as error:  # Numba writes the loops that it compiled
        sys.exit(f"evaluation: {one_line(error)}")


def score(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        os.environ["NUMBA_NUM_THREADS"] = str(arguments.threads)  # read once, when Numba is imported
    from evaluation import scoring

    target = Score(arguments.root, arguments.dataset, arguments.features, arguments.variant)
    scoring.score(target, [pair(text) for text in arguments.runs])


def codes(arguments: argparse.Namespace) -> None:
    if len(arguments.files) > 2:
        raise BenchmarkError(f"found {len(arguments.files)} files: expected one of every image, or two, of the queries and of the database")
    from evaluation import imported

    for name, value in imported.score(arguments.dataset, arguments.files, arguments.bits, arguments.metrics).items():
        print(f"{name:16} {value:.4f}" if name != imported.LEFT_OUT else f"{name:16} {value:.0f}")


def collect(arguments: argparse.Namespace) -> None:
    from evaluation import collecting

    collecting.collect(Plan.read(arguments.plan))


def partial(arguments: argparse.Namespace) -> None:
    from evaluation import collecting

    collecting.partial(Plan.read(arguments.plan), arguments.running)
    for line in [] if arguments.running else collecting.failures():
        print(line, file=sys.stderr)


def time_alone(arguments: argparse.Namespace) -> None:
    from evaluation import timing

    timing.write(Plan.read(arguments.plan))


def publish(arguments: argparse.Namespace) -> None:
    from evaluation import publishing

    if arguments.add:
        print(*publishing.add(arguments.results, arguments.name, arguments.shown), sep="\n")
    else:
        print(publishing.publish(arguments.results, arguments.name, arguments.shown))


def published(arguments: argparse.Namespace) -> None:
    from evaluation import publishing

    for folder in publishing.folders():
        reasons = publishing.outdated(folder)
        print(f"{folder}: {'out of date' if reasons else 'up to date'}", *reasons, sep="\n  ")


def choose(arguments: argparse.Namespace) -> None:
    from evaluation import choosing

    choosing.choose(arguments.results, arguments.output)


def pair(text: str) -> tuple[int, int]:
    """`bits:seed` as two integers."""
    bits, _, seed = text.partition(":")
    if not (bits.isdecimal() and seed.isdecimal()):
        raise BenchmarkError(f"--runs {text}: expected bits:seed, as in 48:0")
    return int(bits), int(seed)


if __name__ == "__main__":
    main()
