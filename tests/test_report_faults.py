"""Hostile inputs of the report: the shell's plot settings, foreign text and damaged files."""

import csv
import io
import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from builders import (
    Page,
    built,
    describe,
    described,
    rows_of,
    write_csv,
    write_extras,
    write_results,
)
from hypothesis import given
from hypothesis import strategies as st

from evaluation import metrics, presets
from harness import plain_text, schemas
from harness.errors import BenchmarkError
from harness.plan import Plan
from harness.plugins import ROOT
from report import __main__ as command
from report import results
from report.figures import plots
from report.figures.plot_style import report_style
from report.tables import cells, table_specs
from report.writers import latex

SMALL = {"bits": (16,), "seeds": (0, 1)}


def report(folder):
    """Write the report of a results folder, and return its path."""
    command.write(folder, folder / "report")
    return folder / "report"


# The user's Matplotlib (B1)


DRAW = """
import sys
from pathlib import Path
from report import results
from report.figures import plots
from report.figures.plot_style import report_style
with report_style():
    sys.stdout.write(plots.overview(results.read(Path(sys.argv[1]))).svg)
"""
RC = """
axes.grid: True
axes.labelsize: 22
image.origin: lower
lines.marker: x
savefig.bbox: tight
text.usetex: True
"""


def test_figures_depend_on_neither_the_shell_nor_a_matplotlibrc(tmp_path):
    folder = write_results(tmp_path / "results", **SMALL)
    (tmp_path / "matplotlibrc").write_text(RC)
    backend = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(folder)],
        cwd=tmp_path,
        env=os.environ | backend,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with report_style():
        assert done.stdout == plots.overview(results.read(folder)).svg


# Text of others (C1, D10)


def test_a_text_that_a_spreadsheet_takes_for_a_formula_is_neutralised_and_numbers_are_not():
    formulas = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "=-1"]
    assert [plain_text.spreadsheet_text(text) for text in formulas] == [
        f"'{text}" for text in formulas
    ]
    for text in ("-0.5", "+0.109", "0.4", "", "ITQ", "a=b", "-1e-05"):
        assert plain_text.spreadsheet_text(text) == text


HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07a\x9b2Jb\x00c\x08d\u202egnp.exe"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_no_file_has_formulas_terminal_sequences_or_control_characters(tmp_path):
    methods = [("formula", '=HYPERLINK("x","y")', 0.4, False), ("bad", HOSTILE, 0.3, False)]
    broken = {("bad", 16, 0): "failed"}
    folder = write_results(tmp_path / "results", methods=methods, broken=broken, **SMALL)
    runs = rows_of(folder / "runs.csv")
    for run in runs:
        run["message"] = run["message"] and HOSTILE
    write_csv(folder / "runs.csv", schemas.RUNS_CSV, [run.values() for run in runs])
    failures = [failure | {"message": HOSTILE} for failure in described(folder)["failures"]]
    describe(folder, described(folder) | {"failures": failures})

    files = [path for path in report(folder).rglob("*.*") if path.suffix != ".pdf"]
    assert {".html", ".csv", ".tex", ".svg"} <= {path.suffix for path in files}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not CONTROL.search(text), path
        if path.suffix == ".csv":
            for row in csv.reader(io.StringIO(text)):
                assert not any(cell.startswith(("=", "+", "@")) for cell in row), path
    assert "'=HYPERLINK" in (folder / "report/tables/map.csv").read_text(encoding="utf-8")
    assert plain_text.plain(HOSTILE) == "red abcdgnp.exe"


@given(st.text())
def test_plain_text_has_no_control_character_and_plain_text_stays(text):
    shown = plain_text.plain(text)
    assert not CONTROL.search(shown)
    assert "\n" not in shown
    assert plain_text.plain(shown) == shown


def test_a_label_that_no_font_has_is_the_name_in_figures_and_tables(tmp_path):
    methods = [("mine", "\u6f22\u5b57", 0.4, True), ("eta", "\u03b7 caf\u00e9", 0.3, True)]
    folder = write_results(tmp_path / "results", methods=methods, **SMALL)
    experiment = described(folder)
    experiment["datasets"]["digits"]["label"] = "\u6570\u5b57"
    describe(folder, experiment)
    collected = results.read(folder)
    overview = plots.overview(collected)
    source = latex.render(built(folder)["map"], [])
    for text in (overview.svg, source):
        assert "mine" in text
        assert "digits, pixels" in text
        assert "\u6f22" not in text
        assert "U+" not in text
    assert "\u03b7 caf\u00e9" in overview.svg
    assert collected.labels["mine"] == "\u6f22\u5b57", "the page shows it in a font of the system"


# Tables and figures of one's own (D12)

OWN = {
    "tables": [
        {
            "name": "recall",
            "title": "Recall",
            "caption": r"Recall for $r \leq 2$.",
            "note": r"See~\cite{jegou2011product}.",
            "latex": True,
            "values": [{"metric": "recall_r2"}],
            "select": {"methods": ["itq", "lsh"]},
        },
        {"name": "map", "title": "Mine", "values": [{"metric": "map"}], "caption": "A & b."},
    ],
    "figures": [
        {
            "name": "balance",
            "title": "Bit balance",
            "fact": "bit_balance",
            "label": "balance",
            "caption": r"Balance, $\beta$.",
            "note": "A note.",
            "latex": True,
            "select": {"methods": ["itq"]},
        }
    ],
}


def test_tables_and_figures_of_a_configuration_are_in_the_report(tmp_path):
    folder = write_results(tmp_path / "results", **SMALL, **OWN)
    output = report(folder)
    source = (output / "tables/recall.tex").read_text(encoding="utf-8")
    assert "\\caption{Recall for $r \\leq 2$.}" in source
    assert r"See~\cite{jegou2011product}." in source
    assert "% References: charikar2002similarity gong2011iterative alpaydin1998optical" in source
    replaced = (output / "tables/map.tex").read_text(encoding="utf-8")
    assert r"\caption{A \& b.}" in replaced, "escaped without the switch"

    svg = (output / "figures/balance.svg").read_text(encoding="utf-8")
    assert svg.count(">ITQ</text>") == 1
    assert ">LSH</text>" not in svg
    assert ">balance</text>" in svg
    document = (output / "report.tex").read_text(encoding="utf-8")
    assert r"\caption{Bit balance. Balance, $\beta$. A note.}" in document
    assert "figure-balance" in Page(output / "index.html").ids


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tables": {"name": "x"}}, "tables: found .* expected a list"),
        ({"figures": [{"name": "x", "title": "t"}]}, "figures: x: expected either a metric"),
        ({"figures": [{"name": "x", "title": "t", "metric": "map", "k": 5}]}, "which has no cut"),
        ({"figures": [{"name": "x", "title": "t", "metrik": "map"}]}, "did you mean 'metric'"),
        ({"figures": [{"name": "x", "title": "t", "metric": "map"}] * 2}, "more than once"),
        ({"tables": [{"name": "x", "title": "t"}]}, "tables: x: values is missing"),
    ],
)
def test_an_invalid_table_or_figure_is_reported_before_any_work(config, message):
    with pytest.raises(BenchmarkError, match=message):
        table_specs.check(config)


def test_two_tables_with_one_name_are_an_error(tmp_path):
    spec = {"name": "paper-cifar10", "title": "t", "values": [{"metric": "map"}]}
    folder = write_results(tmp_path, grid=(("cifar10", "gist"),), **SMALL, tables=[spec])
    with pytest.raises(BenchmarkError, match="two tables with the name paper-cifar10"):
        built(folder)


def test_the_specifications_name_the_metrics_and_facts_that_exist():
    assert set(table_specs.WHOLE_METRICS) == {*metrics.WHOLE, *metrics.LOOKUP}
    with_cut = {*metrics.CUT, *metrics.GRADED, *metrics.NEIGHBOURS}
    assert set(table_specs.CUTS) == with_cut - {"recall@k"}  # in curves at all ranks instead
    assert all(name.startswith(table_specs.PRESET) for name in presets.PRESETS)
    assert set(table_specs.DERIVED_FACTS) == set(cells.RUN_VALUES)
    assert set(table_specs.TIMED_FACTS) == set(cells.TIMING_VALUES)
    facts = {*table_specs.NUMBER_FACTS, *table_specs.TEXT_FACTS}
    assert facts <= set(schemas.RUNS_CSV)


def test_a_changed_table_changes_the_plan():
    files = [ROOT / "config" / name for name in ("config.yaml", "variants.yaml")]
    config = {}
    for path in files:
        config |= yaml.safe_load(path.read_text(encoding="utf-8"))
    assert Plan.load(config | OWN).digest != Plan.load(config).digest


# Broken files (B9)


def spoilt(folder, name, change):
    """Change the bytes of a table and record its new digest."""
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    describe(folder)


@pytest.mark.parametrize("name", ["metrics.csv", "runs.csv", "statistics.csv", "comparisons.csv"])
@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole[: whole.rindex(b",")],
        lambda whole: whole.replace(b"itq", b"\xff\xfe\xe9"),
        lambda whole: whole.replace(b",16,", b",sixteen,", 1),
        lambda whole: b"",
        lambda whole: b"\x00" * 50,
    ],
    ids=["cut", "not UTF-8", "not a number", "empty", "zeros"],
)
def test_a_broken_table_is_one_line(tmp_path, undrawn, monkeypatch, name, change):
    folder = write_results(tmp_path / "results", **SMALL)
    spoilt(folder, name, change)
    monkeypatch.setattr(sys, "argv", ["report", "--results", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert name in stopped.value.code
    assert "\n" not in stopped.value.code


DEEP = b'"' + b"[" * 100_000 + b'"'


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("metrics.csv", b"[found],1000,", b"[found],inf,"),
        ("metrics.csv", b"[found],1000,", b"[found],1000.5,"),
        ("metrics.csv", b",16,0,", b",16.5,0,"),
        ("runs.csv", b'"{""a"": 1}"', DEEP),
    ],
    ids=["infinite", "fraction", "fraction of a bit", "nested"],
)
def test_a_cell_that_collect_does_not_write_is_one_line(tmp_path, name, old, new):
    folder = write_results(tmp_path / "results", **SMALL)
    if new == DEEP:
        rows = list(csv.reader((folder / name).open(newline="")))
        rows[1][rows[0].index("keywords")] = "MARK"
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        old = b"MARK"
    assert old in (folder / name).read_bytes()
    spoilt(folder, name, lambda whole: whole.replace(old, new, 1))
    with pytest.raises(BenchmarkError, match=name):
        results.read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("sha256"), "has no key sha256"),
        (lambda record: record["methods"][0].update(label=["a"]), "as label in methods"),
        (lambda record: record["datasets"]["digits"].update(label=3), "as label in datasets"),
        (lambda record: record.update(sha256=[]), "expected dict"),
        (lambda record: record.update(bits=["16"]), "as bits, expected whole numbers"),
        (lambda record: record.update(grid=[["digits"]]), "in grid, expected a data set"),
        (lambda record: record.update(grid=[["digits", "gist"]]), "in grid"),
        (lambda record: record["methods"][0].pop("label"), "an entry of methods without label"),
        (lambda record: record["controls"].append("x"), "an entry of controls without name"),
        (lambda record: record["datasets"]["digits"].pop("plugin"), "of datasets without plugin"),
        (lambda record: record["features"].clear(), "in grid"),
        (lambda record: record["methods"][0].update(citation="none"), "has no entry 'none'"),
    ],
)
def test_an_experiment_without_a_key_is_one_line(tmp_path, undrawn, change, message):
    folder = write_results(tmp_path / "results", **SMALL)
    record = described(folder)
    change(record)
    (folder / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        report(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_damaged_experiment_is_one_line(tmp_path, content):
    folder = write_results(tmp_path / "results", **SMALL)
    (folder / "experiment.json").write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"experiment\.json"):
        report(folder)


# What the terms of the loss contribute


def test_shares_of_the_gradient_are_a_table_if_runs_record_them(tmp_path):
    folder = write_results(tmp_path / "results", **SMALL)
    assert "gradient-shares" not in built(folder)
    for seed, share in ((0, 0.9), (1, 0.7)):
        write_extras(folder, "bgan", bits=16, seed=seed)
        shares = {"neighbourhood": share, "pixel": 1 - share}
        path = folder / f"runs/digits/pixels/bgan/16bit/seed{seed}/run.json"
        path.write_text(json.dumps({"format": 2, "gradient_shares": shares}))
    table = built(folder)["gradient-shares"]
    assert [column.label for column in table.columns] == ["neighbourhood", "pixel"]
    ((row,),) = [panel.rows for panel in table.panels]
    assert (row.name, [cell.text for cell in row.cells]) == ("bgan", ["80", "20"])
    path.write_text(json.dumps({"format": 2, "gradient_shares": {"pixel": 3}}))
    with pytest.raises(BenchmarkError, match="expected shares between 0 and 1"):
        built(folder)


# Names


def test_no_module_of_the_report_names_a_method():
    """What the report knows of methods is in tables.yaml."""
    for path in (ROOT / "report").rglob("*.py"):
        assert not re.search(r"""["']bgan""", path.read_text(encoding="utf-8")), path
