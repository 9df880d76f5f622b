"""Jobs over finished runs: tables, times, chosen parameters, published folders."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from experiments.errors import USER_ERRORS
from harness.errors import one_line
from harness.plan import TUNED_FOLDER, Place, Plan

KINDS = (
    *("methods", "datasets", "features", "protocols", "variants", "experiments"),
    "published",
)
BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Run one job. The exit status is 1 if a part of it could not be done."""
    arguments = _parser().parse_args()
    # Before a job imports NumPy: the bytes of a matrix product depend on its threads.
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
    try:
        complete = arguments.job(arguments)
    except (*USER_ERRORS, OSError) as error:  # OSError: Numba caches the loops that it compiled
        sys.exit(f"experiments: {one_line(error)}")
    sys.exit(0 if complete else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    jobs = parser.add_subparsers(required=True, metavar="JOB")

    def add(name: str, job, text: str) -> argparse.ArgumentParser:
        added = jobs.add_parser(name, help=text)
        added.set_defaults(job=job)
        return added

    _add_planned_jobs(add)
    _add_results_jobs(add)
    _add_records_jobs(add)
    _add_comparison(add)
    _add_catalogue(add)
    _add_method_jobs(add)
    return parser


def _add_planned_jobs(add) -> None:
    """The jobs of a plan, as the Snakefile runs them."""
    collecting = add("collect", collect, "write the tables of all runs")
    collecting_partly = add("partial", partial, "write the tables of the runs that are done")
    timing = add(
        "timing", measure_times, "measure fitting, encoding and searching on an idle machine"
    )
    for job in (collecting, collecting_partly, timing):
        job.add_argument("--plan", required=True, help="file of the plan, below cache/plans")
    collecting_partly.add_argument(
        "--running", action="store_true", help="a log without a final line is no failure"
    )


def _add_results_jobs(add) -> None:
    """Add the commands `choose` and `publish`; add: function (name, job, help) -> parser."""
    choosing = add("choose", choose, "choose parameters from the trials of an experiment")
    choosing.add_argument(
        "--by",
        choices=("map", "neighbours"),
        default="map",
        help="map needs validation labels; neighbours, of the features, need none",
    )
    choosing.add_argument(
        "--finalists",
        type=int,
        metavar="N",
        help="write DATASET-finalists.json with the best N trials of each method instead",
    )
    choosing.add_argument(
        "--output",
        type=Path,
        default=TUNED_FOLDER,
        help="folder of DATASET.json; other entries stay",
    )

    publishing = add("publish", publish, "copy tables and records to results/published/NAME")
    publishing.add_argument("name")
    publishing.add_argument(
        "shown", nargs="*", help="tables and figures of the report: map.tex overview.svg"
    )
    publishing.add_argument(
        "--add", action="store_true", help="join the complete cells to a published folder"
    )
    for job in (choosing, publishing):
        job.add_argument(
            "--results", type=Path, default=Path("results"), help="folder of the experiment"
        )


def _add_records_jobs(add) -> None:
    """The jobs of records, of published folders and of other checkouts."""
    add("published", published, "list which folders of results/published/ are out of date")

    attesting = add("attest", attest, "recompute a run per method; equal codes are proof")
    attesting.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="a published folder, or `results`"
    )
    attesting.add_argument(
        "--each-variant", action="store_true", help="recompute a run per variant of a method"
    )

    archiving = add("archive-codes", archive_codes, "write the codes of published runs to a file")
    archiving.add_argument("names", nargs="+", metavar="NAME", help="of results/published/")
    archiving.add_argument(
        "--folder", type=Path, default=Path("build"), help="folder of the files codes-NAME.tar"
    )
    archiving.add_argument(
        "--verify", action="store_true", help="compare files that exist with the records instead"
    )

    reproducing = add("reproduce", reproduce, "repeat random published runs, and compare them")
    reproducing.add_argument(
        "names", nargs="*", metavar="NAME", help="published folders; all if none is named"
    )
    reproducing.add_argument(
        "--cells",
        type=positive_integer,
        default=3,
        help="how many random cells (a method at one code length); of each, one seed is repeated",
    )
    reproducing.add_argument("--seed", type=int, help="of the draw; default: another one each time")

    merging = add("merge", merge, "copy the runs of another checkout that are missing")
    merging.add_argument("results", type=Path, metavar="OTHER/results")

    submitting = add("submit", submit, "make a submission of codes that another program made")
    submitting.add_argument(
        "codes", nargs="+", type=Path, help="one file per seed, a row per image of the data set"
    )
    submitting.add_argument(
        "--card", type=Path, required=True, help="YAML file that describes the method"
    )
    submitting.add_argument(
        "--output", type=Path, required=True, help="folder to write; it must not exist"
    )
    verifying = add("verify", verify, "score a submission again, and compare it with its card")
    verifying.add_argument("folder", type=Path)


def positive_integer(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 1")
    return number


def _add_comparison(add) -> None:
    """The job that compares own codes, or an own experiment, with published runs."""
    comparing = add("compare", compare, "compare codes or an experiment with published runs")
    comparing.add_argument(
        "codes",
        nargs="+",
        metavar="CODES",
        help="a file with a code of every image, or one of the queries and one of the database; "
        "{bits} and {seed} in a name stand for numbers. Or a folder of results",
    )
    comparing.add_argument(
        "--with", required=True, dest="published", type=Path, metavar="published/NAME"
    )
    comparing.add_argument("--dataset", help="of the published runs; required if there are several")
    comparing.add_argument("--features", help="likewise")
    comparing.add_argument("--method", help="of a folder of results: the method to compare")
    comparing.add_argument("--label", default="Mine", help="of codes in the table")
    comparing.add_argument(
        "--bits", type=int, help="length of packed codes whose last byte is not full"
    )
    comparing.add_argument("--latex", type=Path, metavar="FILE", help="write a LaTeX table too")


def _add_catalogue(add) -> None:
    """The jobs of what there is: list, describe, add and delete."""
    listing = add(
        "list", list_names, "list methods, data sets, ...: what each needs, and what is missing"
    )
    listing.add_argument("kind", nargs="?", choices=KINDS)
    showing = add("show", show, "describe a method, data set, experiment or published folder")
    showing.add_argument("name")
    creating = add("new-dataset", new_dataset, "write datasets/NAME.py to start from")
    creating.add_argument("name")
    counting = add("duplicates", duplicates, "count queries with a near duplicate in the database")
    counting.add_argument("dataset", help="name of a prepared data set")
    counting.add_argument("features", help="name of its features")
    counting.add_argument(
        "--cosine", type=float, nargs="+", help="thresholds; default: 0.9 0.95 0.99 0.999"
    )
    cleaning = add("clean", clean, "delete the results of a method or experiment, or the cache")
    cleaning.add_argument("name", metavar="METHOD|EXPERIMENT|default|cache")
    cleaning.add_argument("--dry-run", action="store_true", help="delete nothing")


def _add_method_jobs(add) -> None:
    """Add the jobs for authors of a method: write a file to start from, and check the contract."""
    creating = add("new-method", new_method, "write methods/NAME.py, a template with comments")
    creating.add_argument("name")

    checking = add("check", check, "check the contract of a method on digits")
    checking.add_argument("method", help="file in methods/, or path of a .py file elsewhere")
    checking.add_argument(
        "--set",
        default="{}",
        metavar="JSON",
        help="parameters that differ from the defaults, as '{\"epochs\": 2}' for a quick check",
    )


def collect(arguments: argparse.Namespace) -> bool:
    from experiments import collect as job

    job.collect(Plan.read(arguments.plan))
    return True


def partial(arguments: argparse.Namespace) -> bool:
    from experiments import collect as job

    job.partial(Plan.read(arguments.plan), arguments.running)
    return True


def measure_times(arguments: argparse.Namespace) -> bool:
    from experiments import timing

    timing.write(Plan.read(arguments.plan))
    return True


def choose(arguments: argparse.Namespace) -> bool:
    from experiments import choose as job

    if arguments.finalists is None:
        job.choose(arguments.results, arguments.output, arguments.by)
    else:
        job.choose_finalists(arguments.results, arguments.output, arguments.finalists, arguments.by)
    return True


def publish(arguments: argparse.Namespace) -> bool:
    from experiments import publish as job

    if arguments.add:
        from report.__main__ import write_tables_and_figures

        lines = job.add(
            arguments.results, arguments.name, arguments.shown, write_tables_and_figures
        )
        print(*lines, sep="\n")
    else:
        print(job.publish(arguments.results, arguments.name, arguments.shown))
    return True


def published(arguments: argparse.Namespace) -> bool:
    from experiments import publish as job

    for folder in job.folders():
        reasons = job.outdated(folder)
        print(f"{folder}: {'out of date' if reasons else 'up to date'}", *reasons, sep="\n  ")
    return True


def attest(arguments: argparse.Namespace) -> bool:
    """Return whether all runs of the folders are up to date now."""
    from experiments import attest as job

    return job.attest(arguments.folders, arguments.each_variant)


def archive_codes(arguments: argparse.Namespace) -> bool:
    from experiments import archive
    from harness import storage

    for name in (Path(name).name for name in arguments.names):
        path = archive.path_of(name, arguments.folder)
        if not arguments.verify:
            archive.write(name, arguments.folder)
        runs = archive.verify(name, arguments.folder)
        print(f"{path}: {runs:,} runs, as published, SHA-256 {storage.digest(path)}")
    return True


def reproduce(arguments: argparse.Namespace) -> bool:
    """Return whether all repeated runs are reproduced."""
    from experiments import publish
    from experiments import reproduce as job

    folders = [publish.PUBLISHED / Path(name).name for name in arguments.names]
    return job.reproduce(folders, arguments.cells, arguments.seed)


def merge(arguments: argparse.Namespace) -> bool:
    """Return whether no run was refused."""
    from experiments import merge as job

    return job.merge(arguments.results)


def compare(arguments: argparse.Namespace) -> bool:
    from experiments import compare as job
    from experiments import publish

    lines, own, published_place = job.against(
        arguments.codes,
        publish.PUBLISHED / arguments.published.name,
        dataset=arguments.dataset,
        features=arguments.features,
        method=arguments.method,
        bits=arguments.bits,
        label=arguments.label,
    )
    print(job.text(lines, published_place, own))
    if arguments.latex:
        from report.latex_text import escape

        arguments.latex.write_text(job.latex(lines, own, escape), encoding="utf-8")
        print(f"LaTeX: {arguments.latex}")
    return True


def list_names(arguments: argparse.Namespace) -> bool:
    from experiments import catalogue

    kinds = [arguments.kind] if arguments.kind else KINDS
    print(*catalogue.lines(kinds), sep="\n")
    return True


def show(arguments: argparse.Namespace) -> bool:
    from experiments import catalogue

    print(*catalogue.description(arguments.name), sep="\n")
    return True


def new_dataset(arguments: argparse.Namespace) -> bool:
    from experiments import new_dataset as job

    print(f"wrote {job.write(arguments.name)}", *job.next_steps(arguments.name), sep="\n")
    return True


def duplicates(arguments: argparse.Namespace) -> bool:
    from experiments import duplicates as job

    place = Place(arguments.dataset, arguments.features)
    print(*job.report(place, arguments.cosine or job.THRESHOLDS), sep="\n")
    return True


def clean(arguments: argparse.Namespace) -> bool:
    from experiments import clean as job

    print(*job.clean(arguments.name, arguments.dry_run), sep="\n")
    return True


def new_method(arguments: argparse.Namespace) -> bool:
    from experiments import new_method as job

    print(f"wrote {job.new_method(arguments.name)}", *job.next_steps(arguments.name), sep="\n")
    return True


def check(arguments: argparse.Namespace) -> bool:
    """Return whether the method fulfils the contract."""
    from experiments import contract

    return contract.check(arguments.method, arguments.set)


def submit(arguments: argparse.Namespace) -> bool:
    from experiments import submissions

    print(submissions.submit(arguments.codes, arguments.card, arguments.output))
    return verify(argparse.Namespace(folder=arguments.output))


def verify(arguments: argparse.Namespace) -> bool:
    from experiments import submissions

    verified = submissions.verify(arguments.folder)
    for seed, scores in enumerate(verified.scores):
        print(f"seed {seed}:", *(f"{name} {value:.4f}" for name, value in scores.items()))
    print(submissions.NOT_KNOWN)
    if verified.missing:
        print(f"unranked: the card does not state {', '.join(verified.missing)}")
    return True


if __name__ == "__main__":
    main()
