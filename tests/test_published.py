"""results/published/ against the present code: what is out of date is said to be, and records belong to the tables beside them."""

import csv
import itertools
import re
from collections import defaultdict

import numpy as np
import pytest

import storage
from errors import BenchmarkError
from evaluation import METRIC_VERSION, publishing, statistics
from plugins import ROOT

README = ROOT / publishing.PUBLISHED / "README.md"
FOLDERS = sorted(path for path in (ROOT / publishing.PUBLISHED).iterdir() if path.is_dir())


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def folder(request):
    return request.param


def test_what_is_out_of_date_is_said_to_be(folder):
    """Make it anew, or add it to the line of the README that says what earlier code made."""
    said = re.search(r"^Made by earlier code: (.*)\.$", README.read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"`(\w[\w-]*)/`", said[1]) if said else []
    reasons = publishing.outdated(folder)
    assert (folder.name in named) == bool(reasons), reasons


def test_records_are_of_the_runs_that_the_tables_show(folder):
    with open(folder / "runs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    records = publishing.records_of(folder)
    for column in ("codes_sha256", "commit", "date"):
        assert [row[column] for row in rows] == [record[column] for record in records]
    assert not any(record["dirty"] for record in records)
    experiment = storage.read_json(folder / publishing.EXPERIMENT)
    assert experiment["machine"]["processor"]
    tables = list(folder.glob("*.tex"))
    assert tables
    for table in tables:
        named = re.findall(r"[Cc]ommit ([0-9a-f]{12})", re.sub(r"\s+", " ", table.read_text(encoding="utf-8")))
        assert set(named) <= {record["commit"][:12] for record in records} | {experiment["commit"][:12], *_tuned(experiment)}


def _tuned(experiment):
    made = [entry for tried in experiment["tried"].values() for entry in (tried, *tried["methods"].values())]
    return {entry["commit"][:12] for entry in made if "commit" in entry}  # of the data set, once, or of each method


def test_the_readme_says_how_each_was_made(folder):
    (row,) = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{folder.name}/` |")]
    configurations = re.findall(r"config/[\w-]+\.yaml", row)
    assert configurations or "`make`" in row
    assert all((ROOT / path).is_file() for path in configurations)
    assert set(storage.read_json(folder / publishing.EXPERIMENT).get("configfiles", [])) <= {*configurations}


def higher_than_all(folder):
    """The methods that are significantly higher than all others, as the daggers say: {(data set, features, bits): method}.

    From the average precision of every query alone, which is what a published folder keeps so that any test can be made without training.
    """
    cells = defaultdict(dict)
    with np.load(folder / publishing.QUERIES) as stored:
        for name in sorted(stored.files):
            dataset, features, method, *run = name.split("/")
            if run and not method.startswith("exact-"):
                cells[dataset, features, int(run[0].removesuffix("bit"))].setdefault(method, []).append(stored[name].astype(float))
    compared, p_values = [], []
    for place, methods in cells.items():
        for one, other in itertools.permutations(methods, 2):
            above, below = np.array(methods[one]), np.array(methods[other])
            if above.mean() > below.mean():
                compared.append((place, one))
                p_values.append(statistics.estimate(above.mean(0) - below.mean(0), above.mean(1), below.mean(1)).p)
    higher = [found for found, p in zip(compared, statistics.holm(p_values), strict=True) if p < 0.05]
    return {place: one for place, one in higher if higher.count((place, one)) == len(cells[place]) - 1}


def daggers(folder):
    """{(label of the panel, label of the row, column)} of the daggers in map.tex."""
    found, panel, columns = set(), "", []
    for line in (folder / "map.tex").read_text(encoding="utf-8").splitlines():
        label, *texts = line.removesuffix(r" \\").split(" & ")
        columns = texts if label == "Method" else columns
        if heading := re.search(r"\\textit\{(.*)\}\}", label):
            panel = heading[1].removesuffix(" (continued)")
        found |= {(panel, label, column) for column, text in zip(columns, texts, strict=False) if r"\dag" in text}
    return found


def test_the_daggers_follow_from_what_is_kept_of_every_query(folder):
    if not (folder / publishing.QUERIES).is_file() or not (folder / "map.tex").is_file():
        pytest.skip("keeps no average precision, or shows no table of its mean")
    experiment = storage.read_json(folder / publishing.EXPERIMENT)
    labels = {method["name"]: method["label"] for method in experiment["methods"]}
    expected = set()
    for (dataset, features, bits), method in higher_than_all(folder).items():
        panel = f"{experiment['datasets'][dataset]['label']}, {experiment['features'][f'{dataset}/{features}']['label']}"
        expected.add((panel, labels[method], f"{bits} bits"))
    assert daggers(folder) == expected


def test_the_main_table_of_the_readme_is_the_published_one():
    published = ROOT / publishing.PUBLISHED / "cifar10-features"
    higher = {(row, column) for _, row, column in daggers(published)}
    with open(published / "map.csv", newline="", encoding="utf-8") as file:
        measured = list(csv.DictReader(file))
    shown = re.findall(r"^\| ([^|]+) ((?:\| 0\.[^|]+){4})\|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    lengths = [f"{bits} bits" for bits in (12, 24, 32, 48)]
    expected = [(row["Method"], [_printed(row, bits) + " †" * ((row["Method"], bits) in higher) for bits in lengths]) for row in measured]
    assert [(name, [text.strip() for text in cells.split("|")[1:]]) for name, cells in shown] == expected


def _printed(row, bits):
    deviation = row[f"{bits}, deviation"]
    return f"{float(row[bits]):.3f}" + (f" ± {float(deviation):.3f}" if deviation else "")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results of one run, as `collect` and `report` write them."""
    run = tmp_path / "results/runs/digits/pixels/itq/8bit/seed0"
    (tmp_path / "results/report/tables").mkdir(parents=True)
    (tmp_path / "results/report/tables/map.tex").write_text("a table")
    run.mkdir(parents=True)
    sources = publishing.source_digests("methods", "itq")
    storage.write_json(run / "run.json", {"method": "itq", "sources": sources, "dirty": False, "commit": "ab" * 20, "codes_sha256": "cd"})
    storage.write_json(tmp_path / "results/experiment.json", {"metric_version": METRIC_VERSION})
    columns, values = "dataset,features,variant,status,codes_sha256,folder", "digits,pixels,itq,done,cd"
    (tmp_path / "results/runs.csv").write_text(f"{columns}\n{values},{run.relative_to(tmp_path)}\n")
    scores = tmp_path / "results/scores/digits/pixels/itq"
    scores.mkdir(parents=True)
    np.savez(scores / "histograms.npz", **{"query": np.array([7, 9]), "8bit/seed0/ap": np.array([0.1, 0.5]), "8bit/seed0/n": np.zeros(2)})
    monkeypatch.setattr(publishing, "PUBLISHED", tmp_path / "published")
    return tmp_path / "results"


def test_publishing_keeps_the_record_of_every_run(results):
    made = publishing.publish(results, "mine", ["map.tex"])
    assert {path.name for path in made.iterdir()} == {*("map.tex", "runs.csv", "runs.jsonl.gz", "average_precision.npz", "experiment.json")}
    kept = np.load(made / publishing.QUERIES)
    assert {name: kept[name].tolist() for name in kept} == {
        "digits/pixels/query": [7, 9],
        "digits/pixels/itq/8bit/seed0": pytest.approx([0.1, 0.5], rel=1e-7),
    }
    assert publishing.outdated(made) == []


def test_a_source_that_changes_puts_a_folder_out_of_date(results, monkeypatch):
    made = publishing.publish(results, "mine", ["map.tex"])
    now = publishing.source_digests("methods", "itq") | {"methods/itq.py": "other", "methods/_new.py": "new"}
    monkeypatch.setattr(publishing, "source_digests", lambda floor, name: now)
    monkeypatch.setattr(publishing, "METRIC_VERSION", METRIC_VERSION + 1)
    assert publishing.outdated(made) == [
        "methods/_new.py has changed since 1 of its 1 runs",
        "methods/itq.py has changed since 1 of its 1 runs",
        f"its metrics are of version {METRIC_VERSION}, now {METRIC_VERSION + 1}",
    ]


def test_what_cannot_be_published_is_told(results):
    with pytest.raises(BenchmarkError, match=r"figures/nothing\.svg is missing; there are none"):
        publishing.publish(results, "mine", ["nothing.svg"])
    text = (results / "runs.csv").read_text()
    (results / "runs.csv").write_text(text.replace("done", "failed"))
    with pytest.raises(BenchmarkError, match="seed0 is failed: only results with all runs done are published"):
        publishing.publish(results, "mine", ["map.tex"])
    (results / "runs.csv").write_text(text)
    record = results / "runs/digits/pixels/itq/8bit/seed0/run.json"
    storage.write_json(record, storage.read_json(record) | {"dirty": True})
    with pytest.raises(BenchmarkError, match="was made with changes that no commit holds"):
        publishing.publish(results, "mine", ["map.tex"])
    assert not (publishing.PUBLISHED / "mine").exists()


def test_tables_of_other_codes_or_metrics_than_now_are_not_published(results):
    record = results / "runs/digits/pixels/itq/8bit/seed0/run.json"
    storage.write_json(record, storage.read_json(record) | {"codes_sha256": "ef"})
    with pytest.raises(BenchmarkError, match="seed0 was made anew since the tables: run the experiment again"):
        publishing.publish(results, "mine", ["map.tex"])
    storage.write_json(record, storage.read_json(record) | {"codes_sha256": "cd"})
    for made in ({}, {"metric_version": METRIC_VERSION - 1}):
        storage.write_json(results / "experiment.json", made)
        with pytest.raises(BenchmarkError, match=rf"experiment.json is of version .* of the metrics, now {METRIC_VERSION}: run"):
            publishing.publish(results, "mine", ["map.tex"])
    assert not (publishing.PUBLISHED / "mine").exists()
