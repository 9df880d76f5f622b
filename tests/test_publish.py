"""results/published/: the README lists outdated results, and records match tables and history."""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from evaluation import METRIC_VERSION, significance
from experiments import collected, publish, tables
from harness import identity, schemas, storage
from harness.errors import BenchmarkError
from harness.families import is_best
from harness.plan import Place, Run, Score, fields_of
from harness.plugins import ROOT
from harness.records import FORMAT, source_digests
from report import results as report_results
from report.tables import claims

README = ROOT / publish.PUBLISHED / "README.md"
FOLDERS = sorted(path for path in (ROOT / publish.PUBLISHED).iterdir() if path.is_dir())


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def folder(request):
    return request.param


def test_the_readme_lists_what_is_out_of_date(folder):
    """Attest the folder, publish it again, or add it to the line of the README."""
    line = re.search(r"^Out of date: (.*)\.$", README.read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"`(\w[\w-]*)/`", line[1]) if line else []
    reasons = publish.outdated(folder)
    assert (folder.name in named) == bool(reasons), reasons


def test_records_are_of_the_runs_that_the_tables_show(folder):
    with open(folder / "runs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    records = publish.records_of(folder)
    for column in ("codes_sha256", "commit", "date"):
        assert [row[column] for row in rows] == [record[column] for record in records]
    assert not any(record["dirty"] for record in records)
    experiment = storage.read_json(folder / publish.EXPERIMENT)
    assert experiment["machine"]["processor"]
    tables = list(folder.glob("*.tex"))
    assert tables
    for table in tables:
        named = re.findall(
            r"[Cc]ommit ([0-9a-f]{12})", re.sub(r"\s+", " ", table.read_text(encoding="utf-8"))
        )
        joined = {entry["commit"][:12] for entry in experiment.get("joined", [])}
        commits = {record["commit"][:12] for record in records} | {experiment["commit"][:12]}
        assert set(named) <= commits | joined | _tuned(experiment)


def _tuned(experiment):
    methods = [
        entry
        for tried in experiment["tried"].values()
        for entry in (tried, *tried["methods"].values())
    ]
    return {
        entry["commit"][:12] for entry in methods if "commit" in entry
    }  # of the data set, once, or of each method


def git(*arguments):
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def sources_by_commit(record):
    """Yield (commit, sources) for each attestation, the last first, and for the run itself."""
    sources = record["made_of"]["sources"]
    for entry in reversed(record.get("attested", [])):
        yield entry["commit"], sources
        replaced = entry["replaces"]
        sources = {
            path: replaced.get(path, digest) for path, digest in {**sources, **replaced}.items()
        }
        sources = {path: digest for path, digest in sources.items() if digest is not None}
    yield record["commit"], sources


def test_source_digests_are_those_of_the_commit(folder):
    recorded = set()
    for record in publish.records_of(folder):
        for commit, sources in sources_by_commit(record):
            assert sources
            recorded |= {(commit, *item) for item in sources.items()}

    for commit in {commit for commit, *_ in recorded}:
        if git("cat-file", "-e", f"{commit}^{{commit}}") is None:
            pytest.skip(
                f"needs git and the history of the project: commit {commit[:12]} is missing"
            )
    for commit, path, digest in sorted(recorded):
        assert identity.text_digest(git("show", f"{commit}:{path}").decode()) == digest, (
            commit,
            path,
        )


def test_attestations_name_a_run_of_the_folder_with_equal_codes(folder):
    records = publish.records_of(folder)
    codes = {
        (Run(**record["made_of"]["run"]).name, record["made_of"]["plugin"]): record["codes_sha256"]
        for record in records
    }
    for record in records:
        for entry in record.get("attested", []):
            assert entry["codes_sha256"] == codes[entry["run"], record["made_of"]["plugin"]]
            assert entry["dirty"] is False


def test_the_readme_states_the_command_of_each(folder):
    (row,) = [
        line
        for line in README.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{folder.name}/` |")
    ]
    configurations = re.findall(r"config/[\w-]+\.yaml", row)
    assert configurations or "`make`" in row
    assert all((ROOT / path).is_file() for path in configurations)
    assert set(storage.read_json(folder / publish.EXPERIMENT).get("configfiles", [])) <= {
        *configurations
    }


def higher_than_all(folder):
    """Return the methods that are significantly higher than all others, from the daggers.

    {(data set, features, bits): method}, from the average precision of every query alone. A
    published folder stores it, so that every test can be repeated without training.
    """
    cells = defaultdict(dict)
    with np.load(folder / publish.QUERIES) as stored:
        for name in sorted(stored.files):
            dataset, features, method, *run = name.split("/")
            if run and not method.startswith("exact-"):
                cells[dataset, features, int(run[0].removesuffix("bit"))].setdefault(
                    method, []
                ).append(stored[name].astype(float))
    higher = {}
    for (*pair, bits), methods in cells.items():
        lengths = sorted(length for *other, length in cells if other == pair)
        best = max(methods, key=lambda name: np.mean(methods[name]))
        p_values = []
        for other in methods.keys() - {best}:
            differences = np.mean(methods[best], axis=0) - np.mean(methods[other], axis=0)
            pooled = [_pooled(cells, pair, name, lengths, bits) for name in (best, other)]
            variances = [significance.over_queries(differences), *pooled]
            p_values.append(float(significance.estimate(differences.mean(), *variances).p))
        if all(is_best(p, len(lengths)) for p in p_values):
            higher[*pair, bits] = best
    return higher


def _pooled(cells, pair, name, lengths, bits):
    """The variance over seeds of a method at one code length, pooled over all of its own."""
    lengths = [length for length in lengths if name in cells[*pair, length]]
    of_method = [np.array(cells[*pair, length][name]).mean(axis=1) for length in lengths]
    counts = [len(seeds) for seeds in of_method]
    spreads = [seeds.var(ddof=1) if len(seeds) > 1 else 0 for seeds in of_method]
    pooled = significance.over_seeds_pooled(spreads, counts)
    index = lengths.index(bits)
    return significance.Variance(pooled.values[index], pooled.freedom[index])


def daggers(folder):
    """{(label of the panel, label of the row, column)} of the daggers in map.tex."""
    found, panel, columns = set(), "", []
    for line in (folder / "map.tex").read_text(encoding="utf-8").splitlines():
        label, *texts = line.removesuffix(r" \\").split(" & ")
        columns = texts if label == "Method" else columns
        if heading := re.search(r"\\textit\{(.*)\}\}", label):
            panel = heading[1].removesuffix(" (continued)")
        found |= {
            (panel, label, column)
            for column, text in zip(columns, texts, strict=False)
            if r"\dag" in text
        }
    return found


def test_the_daggers_follow_from_the_stored_average_precision(folder):
    if not (folder / publish.QUERIES).is_file() or not (folder / "map.tex").is_file():
        pytest.skip("stores no average precision, or shows no table of its mean")
    experiment = storage.read_json(folder / publish.EXPERIMENT)
    if experiment["metric_version"] != METRIC_VERSION:
        pytest.skip("its daggers are those of an earlier version")
    labels = {method["name"]: method["label"] for method in experiment["methods"]}
    expected = set()
    for (dataset, features, bits), method in higher_than_all(folder).items():
        dataset_label = experiment["datasets"][dataset]["label"]
        features_label = experiment["features"][f"{dataset}/{features}"]["label"]
        panel = f"{dataset_label}, {features_label}"
        expected.add((panel, labels[method], f"{bits} bits"))
    assert daggers(folder) == expected


QUANTITIES = {"mAP": "map.csv", "neighbour recall": "neighbour-recall-at-100.csv"}
PAGES = ("README.md", "docs/explanation/findings.md")


def tables_of(page):
    """Yield (folder, lines) of each table of a page below a comment that names its folder."""
    text = (ROOT / page).read_text(encoding="utf-8")
    marked = r"^<!-- results/published/(.*) -->\n((?:\|.*\n)+)"
    for name, table in re.findall(marked, text, re.MULTILINE):
        lines = [line.strip("|").split("|") for line in table.splitlines()]
        yield ROOT / publish.PUBLISHED / name, [[cell.strip() for cell in line] for line in lines]


@pytest.mark.parametrize("page", PAGES)
def test_tables_in_the_text_are_the_published_ones(page):
    """Each has the best row of every column, so that no choice of rows can hide one."""
    tables = list(tables_of(page))
    assert tables
    for published, (header, _, *lines) in tables:
        columns = [column.split(", ") for column in header[1:]]
        measured = {
            quantity: {
                row["Method"]: row
                for row in csv.DictReader((published / file).open(newline="", encoding="utf-8"))
            }
            for quantity, file in QUANTITIES.items()
        }
        assert lines == [
            [name, *(_printed(measured[quantity][name], bits) for quantity, bits in columns)]
            for name, *_ in lines
        ]
        controls = {"Exact cosine", "Exact Euclidean", "Int8 features", "Product quantisation"}
        for quantity, bits in columns:
            numbers = {
                name: float(row[bits])
                for name, row in measured[quantity].items()
                if name not in controls and row[bits] != "\N{EN DASH}"
            }
            assert max(numbers, key=numbers.get) in [name for name, *_ in lines]


def test_verdicts_in_the_text_follow_from_the_published_runs(tmp_path):
    """A cell says in how many of its comparisons a claim of the paper holds."""
    text = (ROOT / "docs/explanation/findings.md").read_text(encoding="utf-8")
    marked = r"^<!-- results/published: (.*) -->\n((?:\|.*\n)+)"
    names, table = re.search(marked, text, re.MULTILINE).groups()
    _, _, *lines = [line.strip("|").split("|") for line in table.splitlines()]
    for index, name in enumerate(names.split(", "), 1):
        folder = tmp_path / name
        collected.write(folder, publish.contents_of(ROOT / publish.PUBLISHED / name))
        ((_, verdicts),) = claims.verdicts(report_results.read(folder))
        for line, verdict in zip(lines[:3], verdicts[:3], strict=True):
            counts = Counter()
            for comparison in verdict.comparisons:
                counts.update({what: len(bits) for what, bits in comparison.outcomes.items()})
            assert line[0].strip().startswith(verdict.question), line[0]
            shown = f"{counts[claims.BETTER]} of {counts.total()} comparisons"
            assert line[index].strip().startswith(shown), (name, verdict.question)


@pytest.mark.parametrize("file", QUANTITIES.values())
def test_the_rank_correlation_of_two_encoders_follows_from_the_published_tables(file):
    def means(name):
        with open(ROOT / publish.PUBLISHED / name / file, newline="", encoding="utf-8") as table:
            rows = [row for row in csv.DictReader(table) if row["32 bits"] != "\N{EN DASH}"]
        not_compared = ("Chance", "Exact")
        rows = [row for row in rows if not row["Method"].startswith(not_compared)]
        return {row["Method"]: float(row["32 bits"]) for row in rows}

    one, two = means("cifar10-field"), means("cifar10-googlenet")
    tau = kendalltau([one[name] for name in two], list(two.values())).statistic
    text = (ROOT / "docs/explanation/findings.md").read_text(encoding="utf-8")
    section = text.partition("## CIFAR-10, another encoder")[2].partition("\n## ")[0]
    assert f"Kendall's tau of {len(two)} methods" in section
    assert f"{tau:.2f} for" in " ".join(section.split())


@pytest.mark.parametrize("page", ["README.md", "docs/faq.md"])
def test_what_conventions_and_ties_change_follows_from_the_published_runs(page):
    values = defaultdict(list)
    with gzip.open(ROOT / publish.PUBLISHED / "cifar10-field/metrics.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if (row["variant"], row["bits"], row["k"] or "1000") == ("itq", "12", "1000"):
                values[row["metric"]].append(float(row["value"]))

    text = (ROOT / page).read_text(encoding="utf-8")
    mean, found, worst, best = (
        f"{np.mean(values[name]):.2f}" for name in ("map", "map@k[found]", "map_worst", "map_best")
    )
    assert f"from {worst} to {best}" in " ".join(text.split())
    assert mean in text
    assert found in text


def test_published_values_in_the_text_are_those_of_the_files():
    """Rows are `METHOD, published by ...`, or `METHOD, measured`: the mean of all runs."""
    text = (ROOT / "docs/explanation/findings.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## Published values")
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)[0]
    header, _, *lines = [line.strip("|").split("|") for line in table.splitlines()]
    lengths = [cell.split()[0] for cell in header[1:]]
    assert {line[0].split(",")[0].strip() for line in lines} == {"ITQ", "SH", "LSH", "KNNH"}
    with open(ROOT / "report/published_values.csv", newline="", encoding="utf-8") as file:
        reported = [row for row in csv.DictReader(file) if row["features"] == "GIST"]
    values = defaultdict(list)
    with np.load(ROOT / publish.PUBLISHED / "cifar10-gist" / publish.QUERIES) as stored:
        for name in stored.files:
            if len(parts := name.split("/")) > 3:
                values[parts[2], parts[3].removesuffix("bit")].append(stored[name].mean())

    for name, *cells in lines:
        label, _, origin = name.strip().partition(", ")
        for bits, cell in zip(lengths, cells, strict=True):
            if origin == "measured":
                assert cell.strip() == f"{np.mean(values[label.lower(), bits]):.3f}", name
            elif cell.strip():
                of_cell = [row for row in reported if (row["method"], row["bits"]) == (label, bits)]
                differences = [abs(float(cell) - float(row["value"])) for row in of_cell]
                assert min(differences) <= 0.0005 + 1e-9, name  # 0.1195 may be 0.120


def _printed(row, bits):
    deviation = row[f"{bits}, deviation"]
    if row[bits] == "\N{EN DASH}":
        return row[bits]
    return f"{float(row[bits]):.3f}" + (f" ± {float(deviation):.3f}" if deviation else "")


class Finished:
    """Results as `collect` and `report` leave them, below the working directory.

    Average precision of query q of a run is (seed + 1) / 10 + q / 100.
    """

    def __init__(self, root="results"):
        self.root = Path(root)
        self.rows = []

    def write(
        self, variants=("itq",), seeds=(0, 1), failed=(), split="a1", fill="c0", queries=(7, 9)
    ):
        """Write all files.

        failed: (variant, seed) of runs that are not done; fill: first digits of all code digests.
        """
        runs = [Run("digits", "pixels", variant, 8, seed) for variant in variants for seed in seeds]
        done = [run for run in runs if (run.variant, run.seed) not in failed]
        codes = {run: f"{fill}{run.variant}{run.seed}" for run in done}
        for run in done:
            self.write_record(run, codes[run], split)
        for variant in variants:
            self.write_score([run for run in done if run.variant == variant], codes, queries)
        self.write_tables(runs, codes)
        return self

    def write_record(self, run, codes, split):
        made_of = {
            "sources": source_digests("methods", "itq"),
            "plugin": "itq",
            "params": {},
            "run": fields_of(run),
        }
        made_of |= {"split": split, "features": "b2", "files": {}}
        facts = {"dirty": False, "commit": "ab" * 20, "codes_sha256": codes}
        facts |= {"device": "cpu", "machine": {"processor": "one"}}
        write_json(run.record, format=FORMAT, made_of=made_of, **facts)

    def write_score(self, runs, codes, queries):
        if not runs:
            return
        score = Score(self.root, *runs[0].name.split("/")[:3])
        score.folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"8bit/seed{run.seed}/ap": (run.seed + 1) / 10 + np.arange(len(queries)) / 100
            for run in runs
        }
        np.savez(score.histograms, query=np.array(queries), **arrays)
        made_of = {"sources": source_digests("experiments", "scoring")}
        made_of["codes"] = {f"8bit/seed{run.seed}": codes[run] for run in runs}
        digests = {score.histograms.name: storage.digest(score.histograms)}
        write_json(score.record, format=FORMAT, made_of=made_of, sha256=digests)

    def write_tables(self, runs, codes):
        rows = [fields_of(run) | {"status": "done" if run in codes else "failed"} for run in runs]
        rows = [
            row | {"codes_sha256": codes.get(run), "folder": run.folder}
            for row, run in zip(rows, runs, strict=True)
        ]
        with open(self.root / "runs.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        self.write_metrics([run for run in runs if run in codes])
        self.write_experiment(runs)

    def write_metrics(self, runs):
        """Write a metric and a point of a curve of each run, and a metric of a control."""
        with open(self.root / "metrics.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(schemas.METRICS_CSV)
            for run in runs:
                key = list(fields_of(run).values())
                writer.writerow([*key, "map", "", (run.seed + 1) / 10])
                writer.writerow([*key, "pr_recall", 3, 0.5])
            writer.writerow(["digits", "pixels", "exact-cosine", 0, 0, "map", "", 0.75])

    def write_experiment(self, runs, **changes):
        names = list(dict.fromkeys(run.variant for run in runs))
        seeds = sorted({run.seed for run in runs})
        experiment = {
            "format": FORMAT,
            "made_of": {},
            "metric_version": METRIC_VERSION,
            "name": "",
            "commit": "cd" * 20,
        }
        experiment |= {
            "date": "2026-11-30",
            "methods": [{"name": name, "method": "itq", "stochastic": True} for name in names],
            "datasets": {"digits": {}},
            "controls": [],
        }
        experiment |= {
            "bits": [8],
            "seeds": seeds,
            "sha256": {
                name: storage.digest(self.root / name) for name in ("runs.csv", "metrics.csv")
            },
        }
        write_json(self.root / "experiment.json", **experiment | changes)
        self.write_report()

    def write_report(self):
        read = {"experiment.json": storage.digest(self.root / "experiment.json")}
        write_json(self.root / "report/report.json", format=FORMAT, made_of={"records": read})
        (self.root / "report/tables").mkdir(exist_ok=True)
        (self.root / "report/tables/map.tex").write_text("a table")


def write_json(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def change_json(path, **changes):
    write_json(path, **json.loads(path.read_text()) | changes)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Finished()


def published(name="mine"):
    """Names, codes and queries of the runs of a published folder, whose files belong together."""
    folder = publish.PUBLISHED / name
    with open(folder / "runs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    records = publish.records_of(folder)
    names = [Run(**record["made_of"]["run"]).name for record in records]
    assert [row["folder"] for row in rows] == [f"results/runs/{name}" for name in names]
    codes = {name: record["codes_sha256"] for name, record in zip(names, records, strict=True)}
    assert [row["codes_sha256"] for row in rows] == list(codes.values())
    with np.load(folder / publish.QUERIES) as stored:
        queries = {name: stored[name].tolist() for name in stored.files}
    assert queries.keys() == {*names, *(f"{name.rsplit('/', 3)[0]}/query" for name in names)}
    return codes, queries


ITQ = "digits/pixels/itq/8bit"
LSH = "digits/pixels/lsh/8bit"


@pytest.mark.parametrize(
    ("array", "message"), [("split", "split was a1, now "), ("labels", "labels was old, now ")]
)
def test_results_of_data_that_was_prepared_again_are_refused(results, array, message):
    """The codes and their scores are equal, but were made of another split or other labels."""
    results.write()
    score = Score(results.root, "digits", "pixels", "itq")
    record = json.loads(score.record.read_text())
    made_of = record["made_of"] | {"labels": "old", "split": "a1"}
    write_json(score.record, **record | {"made_of": made_of})
    digests = dict.fromkeys(("images.npy", "labels.npy", "names.json"), "new")
    facts = {"sha256": digests, "split_sha256": "new" if array == "split" else "a1"}
    path = Place("digits", "").dataset_record
    write_json(path, format=FORMAT, made_of={"plugin": "digits"}, **facts)
    with pytest.raises(BenchmarkError, match=f"is out of date: {message}"):
        publish.publish(results.root, "mine", ["map.tex"])


@pytest.mark.parametrize("root", ["results", "results/experiments/mine"])
def test_publishing_copies_the_record_of_every_run(results, root):
    finished = Finished(root).write()
    folder = publish.publish(finished.root, "mine", ["map.tex"])
    assert {path.name for path in folder.iterdir()} == {
        *("map.tex", "runs.csv", "runs.jsonl.gz", "average_precision.npz", "metrics.csv.gz"),
        "experiment.json",
    }
    codes, queries = published()
    assert codes == {f"{ITQ}/seed0": "c0itq0", f"{ITQ}/seed1": "c0itq1"}
    assert queries == {
        "digits/pixels/query": [7, 9],
        f"{ITQ}/seed0": pytest.approx([0.1, 0.11], rel=1e-6),
        f"{ITQ}/seed1": pytest.approx([0.2, 0.21], rel=1e-6),
    }
    assert publish.outdated(folder) == []


def test_other_sources_and_metrics_put_a_folder_out_of_date(results, monkeypatch):
    results.write()
    folder = publish.publish(results.root, "mine", ["map.tex"])
    now = source_digests("methods", "itq") | {
        "methods/itq.py": "ast1:" + "0" * 64,
        "methods/_new.py": "ast1:" + "1" * 64,
    }
    monkeypatch.setattr(publish, "present_sources", lambda plugin: now)
    monkeypatch.setattr(publish, "METRIC_VERSION", METRIC_VERSION + 1)
    reasons = publish.outdated(folder)
    assert len(reasons) == 3
    assert "methods/_new.py" in reasons[0]
    assert "methods/itq.py" in reasons[1]
    assert all("2 of 2" in reason for reason in reasons[:2])


def failed_run(results):
    results.write(failed=[("itq", 1)])


def uncommitted_changes(results):
    results.write()
    change_json(Run("digits", "pixels", "itq", 8, 1).record, dirty=True)


def other_codes(results):
    results.write()
    change_json(Run("digits", "pixels", "itq", 8, 1).record, codes_sha256="ff")


def other_sources(results):
    results.write()
    path = Run("digits", "pixels", "itq", 8, 1).record
    made_of = json.loads(path.read_text())["made_of"]
    change_json(
        path,
        made_of=made_of | {"sources": made_of["sources"] | {"methods/itq.py": "ast1:" + "0" * 64}},
    )


def earlier_format(results):
    results.write()
    change_json(Run("digits", "pixels", "itq", 8, 1).record, format=1)


def scores_of_other_codes(results):
    results.write()
    path = Score(results.root, "digits", "pixels", "itq").record
    made_of = json.loads(path.read_text())["made_of"]
    change_json(path, made_of=made_of | {"codes": made_of["codes"] | {"8bit/seed1": "ff"}})


def scores_of_other_sources(results):
    results.write()
    path = Score(results.root, "digits", "pixels", "itq").record
    made_of = json.loads(path.read_text())["made_of"]
    change_json(path, made_of=made_of | {"sources": {}})


def other_metrics(results):
    results.write()
    change_json(results.root / "experiment.json", metric_version=METRIC_VERSION - 1)
    results.write_report()


def edited_table(results):
    results.write()
    with open(results.root / "runs.csv", "a") as file:
        file.write("\n")


def another_report(results):
    results.write()
    change_json(results.root / "experiment.json", date="2026-12-01")


REFUSED = [
    (failed_run, "seed1 is failed"),
    (uncommitted_changes, "seed1 .*uncommitted"),
    (other_codes, "seed1 has changed"),
    (other_sources, r"seed1 .*methods/itq\.py"),
    (earlier_format, "format 1"),
    (scores_of_other_codes, "seed1"),
    (scores_of_other_sources, "scores/digits/pixels/itq"),
    (other_metrics, "metrics"),
    (edited_table, r"runs\.csv"),
    (another_report, "report"),
]


@pytest.mark.parametrize(("change", "named"), REFUSED)
def test_results_that_are_not_current_are_not_published(results, change, named):
    change(results)
    with pytest.raises(BenchmarkError, match=named):
        publish.publish(results.root, "mine", ["map.tex"])
    assert not publish.PUBLISHED.exists()


def test_the_error_for_a_missing_table_lists_the_names(results):
    results.write()
    with pytest.raises(BenchmarkError, match=r"tables/nothing\.csv.*map\.tex"):
        publish.publish(results.root, "mine", ["nothing.csv"])
    with pytest.raises(BenchmarkError, match="no table is named"):
        publish.publish(results.root, "mine", [])
    assert not publish.PUBLISHED.exists()


# Joining


def rendered(root, report):
    """Write a table with the lines of statistics.csv as a report of collected tables."""
    with open(root / "statistics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (report / "tables").mkdir(parents=True)
    text = "".join(f"{row['variant']}: {row['seeds']} seeds, {row['map']}\n" for row in rows)
    (report / "tables/map.tex").write_text(text)


def test_complete_cells_are_joined(results):
    results.write()
    publish.publish(results.root, "mine", ["map.tex"])
    results.write(variants=("itq", "lsh", "pcah"), failed=[("itq", 1), ("pcah", 0)])
    lines = publish.add(results.root, "mine", [], rendered)
    codes, queries = published()
    assert codes == {
        f"{cell}/seed{seed}": f"c0{cell.split('/')[2]}{seed}"
        for cell in (ITQ, LSH)
        for seed in (0, 1)
    }
    assert queries[f"{LSH}/seed1"] == pytest.approx([0.2, 0.21], rel=1e-6)
    assert "2 added, 0 replaced, 0 equal" in lines[0]
    experiment = storage.read_json(publish.PUBLISHED / "mine" / publish.EXPERIMENT)
    assert [method["name"] for method in experiment["methods"]] == ["itq", "lsh"]
    assert [entry["runs"] for entry in experiment["joined"]] == [2]
    assert (experiment["bits"], experiment["seeds"]) == ([8], [0, 1])


def test_tables_of_a_folder_are_written_again_from_all_runs(results):
    results.write(seeds=(0, 1, 2))
    folder = publish.publish(results.root, "mine", ["map.tex"])
    results.write(variants=("lsh",))
    publish.add(results.root, "mine", [], rendered)
    table = (folder / "map.tex").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["itq: 3 seeds", "lsh: 2 seeds"]
    values = [float(line.split(",")[1]) for line in table]
    assert values == pytest.approx([0.205, 0.155])


def test_metrics_of_runs_and_controls_are_joined_without_curves(results):
    results.write()
    folder = publish.publish(results.root, "mine", ["map.tex"])
    results.write(variants=("lsh",))
    publish.add(results.root, "mine", [], rendered)
    rows = [list(row.values()) for row in tables.read(folder / publish.METRICS, ())]
    assert rows == [
        ["digits", "pixels", "itq", "8", "0", "map", "", "0.1"],
        ["digits", "pixels", "itq", "8", "1", "map", "", "0.2"],
        ["digits", "pixels", "lsh", "8", "0", "map", "", "0.1"],
        ["digits", "pixels", "lsh", "8", "1", "map", "", "0.2"],
        ["digits", "pixels", "exact-cosine", "0", "0", "map", "", "0.75"],
    ]


def test_a_table_that_no_report_writes_is_named(results):
    results.write()
    publish.publish(results.root, "mine", ["map.tex"])
    before = published()
    results.write(variants=("lsh",))
    with pytest.raises(BenchmarkError, match=r"mapp.tex is missing: expected one of map.tex"):
        publish.add(results.root, "mine", ["mapp.tex"], rendered)
    assert published() == before


@pytest.mark.parametrize(
    "damage",
    [None, b"text", gzip.compress(b"a,b\n1,2\n", mtime=0)],
    ids=["no file", "not compressed", "other columns"],
)
def test_a_folder_without_its_metrics_is_not_joined_to(results, damage):
    results.write()
    folder = publish.publish(results.root, "mine", ["map.tex"])
    (folder / publish.METRICS).unlink()
    if damage:
        (folder / publish.METRICS).write_bytes(damage)
    with pytest.raises(BenchmarkError, match=r"metrics\.csv\.gz (is missing|is not|has no column)"):
        publish.add(results.root, "mine", [], rendered)


def test_joining_equal_runs_changes_no_run(results):
    results.write()
    folder = publish.publish(results.root, "mine", ["map.tex"])
    files = ("runs.csv", publish.RUNS, publish.EXPERIMENT)
    before = [(folder / name).read_bytes() for name in files]
    change_json(
        Run("digits", "pixels", "itq", 8, 1).record, date="2026-12-01"
    )  # the same, measured again
    lines = publish.add(results.root, "mine", ["map.tex"], rendered)
    assert [(folder / name).read_bytes() for name in files] == before
    assert "0 added, 0 replaced, 2 equal" in lines[0]


def test_more_seeds_are_added_to_a_cell(results):
    results.write()
    publish.publish(results.root, "mine", ["map.tex"])
    results.write(seeds=(1, 2))
    publish.add(results.root, "mine", [], rendered)
    assert list(published()[0]) == [f"{ITQ}/seed{seed}" for seed in (0, 1, 2)]


def test_all_runs_of_a_cell_that_differs_are_replaced(results):
    results.write(variants=("itq", "lsh"))
    publish.publish(results.root, "mine", ["map.tex"])
    results.write(fill="d0")
    lines = publish.add(results.root, "mine", [], rendered)
    codes, _ = published()
    assert codes == {
        **{f"{ITQ}/seed{seed}": f"d0itq{seed}" for seed in (0, 1)},
        **{f"{LSH}/seed{seed}": f"c0lsh{seed}" for seed in (0, 1)},
    }
    assert "0 added, 2 replaced, 0 equal" in lines[0]


def test_a_cell_that_differs_is_not_joined_without_its_published_seeds(results):
    results.write(seeds=(0, 1, 2))
    publish.publish(results.root, "mine", ["map.tex"])
    before = published()
    results.write(seeds=(0, 1, 3), fill="d0")
    lines = publish.add(results.root, "mine", [], rendered)
    assert published() == before
    assert f"{ITQ}/seed2" in lines[1]


@pytest.mark.parametrize("change", [{"split": "ff"}, {"queries": (7, 9, 11)}, {"queries": (7, 8)}])
def test_runs_on_other_queries_are_not_joined(results, change):
    results.write()
    publish.publish(results.root, "mine", ["map.tex"])
    before = published()
    results.write(variants=("lsh",), **change)
    with pytest.raises(BenchmarkError, match="differ"):
        publish.add(results.root, "mine", [], rendered)
    assert published() == before


def test_only_a_published_folder_can_be_joined_to(results):
    results.write()
    with pytest.raises(BenchmarkError, match="mine is not a published folder"):
        publish.add(results.root, "mine", [], rendered)
    assert not publish.PUBLISHED.exists()


def test_joining_refuses_a_stale_run_of_a_complete_cell(results):
    results.write()
    publish.publish(results.root, "mine", ["map.tex"])
    other_sources(results)
    with pytest.raises(BenchmarkError, match=r"methods/itq\.py"):
        publish.add(results.root, "mine", [], rendered)


@pytest.mark.parametrize("arguments", [("mine",), ("mine", "--add")])
def test_the_command_prints_errors_in_one_line(results, arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "experiments", "publish", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_results_of_the_workflow_are_published_and_joined(copy):
    def run(*arguments):
        environment = os.environ | {"PYTHONPATH": str(copy.folder)}
        command = [
            sys.executable,
            "-m",
            "experiments",
            "publish",
            "mine",
            *arguments,
            "--results",
            "results/experiments/tiny",
        ]
        done = subprocess.run(
            command, cwd=copy.folder, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("map.tex", "overview.svg")
    records = publish.records_of(copy.folder / publish.PUBLISHED / "mine")
    assert len(records) == len(list((copy.folder / "results/runs").rglob("run.json")))
    folder = copy.folder / publish.PUBLISHED / "mine"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert f"0 added, 0 replaced, {len(records)} equal" in run("--add")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert publish.outdated(copy.folder / publish.PUBLISHED / "mine") == []
