"""Published figures beside measured ones: what is compared, and that nothing else is."""

import csv
import json
import re

import numpy as np
import pytest
from builders import describe, described, tuned, write_csv, write_results

from harness.errors import BenchmarkError
from report import results
from report.tables import published_values
from report.tables.build import build_tables
from report.writers import csv_files, html

CIFAR = results.Pair("cifar10", "pixels")
METHODS = [
    ("bgan.vgg19", "BGAN: VGG-19", 0.5, True),
    ("bgan-released.vgg19.tuned-cifar10", "As released", 0.45, True),
    ("itq", "ITQ", 0.4, True),
]
RELATIONS = {
    "bgan.vgg19": {"base": "bgan"},
    "bgan-released.vgg19.tuned-cifar10": tuned("bgan-released.vgg19", "cifar10"),
}
PAPER = {
    "encoder": "vgg19",
    "weights": "weights/vgg19.pth",
    "encoder_size": 224,
}  # what the paper's figures rest on


def experiment(
    folder,
    *,
    keywords=PAPER,
    train=10_000,
    dataset="cifar10",
    bits=(12, 32, 64),
    preset="as-bgan",
    **options,
):
    """An experiment whose BGAN agrees with the paper's terms, but for what is changed."""
    rows = {name: {"keywords": keywords, **related} for name, related in RELATIONS.items()}
    means = {"map_of": lambda name, bits, seed: 0.5 + seed / 100}
    write_results(folder, methods=METHODS, rows=rows, grid=[CIFAR], bits=bits, **means, **options)
    facts = described(folder)
    facts["datasets"]["cifar10"]["sizes"] = {"query": 1000, "database": 59_000, "train": train}
    renamed = json.loads(json.dumps(facts).replace('"cifar10', f'"{dataset}'))
    for entry in renamed["datasets"].values():  # the data set has another name, and the same plugin
        entry |= {"plugin": "cifar10", "base": "cifar10"}
    for name in ("metrics", "runs", "statistics", "comparisons"):
        path = folder / f"{name}.csv"
        path.write_text(
            path.read_text().replace("cifar10,", f"{dataset},").replace("as-bgan", preset)
        )
    describe(folder, renamed)
    return results.read(folder)


def differences_shown(collected):
    (table,) = published_values.build(collected)
    return [row for panel in table.panels for row in panel.rows if row.label == "difference"]


def test_a_measured_figure_on_the_same_terms_is_compared(tmp_path):
    """Runs with mAP 0.51; the paper has 0.401, 0.531 and 0.558, the re-runs 0.442 and 0.461."""
    (table,) = published_values.build(experiment(tmp_path))
    lengths = [column.label for column in table.columns]
    panel = next(
        panel
        for panel in table.panels
        if panel.label.startswith("mAP; 1,000 queries, 59,000 in the database, 10,000")
    )
    labels = [row.label for row in panel.rows]
    assert labels[:3] == ["BGAN, VGG-19 [1]", "BGAN: VGG-19, measured by as-bgan", "difference"]
    paper, measured, less = ([cell.text for cell in row.cells] for row in panel.rows[:3])
    at = {bits: lengths.index(bits) for bits in ("12", "24", "32", "48", "64")}
    assert [paper[at[bits]] for bits in at] == ["0.401", "", "0.531", "0.558", ""]
    assert [measured[at[bits]] for bits in at] == ["0.510", "", "0.510", "", "0.510"]
    assert [less[at[bits]] for bits in at] == ["+0.109", "", "\N{MINUS SIGN}0.021", "", ""]
    again = labels.index("As released, measured by as-bgan")
    assert labels[again - 1].startswith("BGAN, released code, 4 epochs")
    assert [panel.rows[again + 1].cells[at[bits]].text for bits in ("12", "32")] == [
        "+0.068",
        "+0.049",
    ]
    assert not any(cell.best for panel in table.panels for row in panel.rows for cell in row.cells)


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({"keywords": PAPER | {"encoder": "conv"}}, "encoder"),
        ({"keywords": PAPER | {"encoder": "features"}}, "encoder"),
        ({"keywords": PAPER | {"weights": None}}, "weights"),
        ({"keywords": PAPER | {"weights": "weights/vgg19-dcbb9e9d.pth"}}, "weights"),
        ({"keywords": PAPER | {"encoder_size": 128}}, "input size"),
        ({"keywords": {"encoder": "vgg19", "weights": "weights/vgg19.pth"}}, "input size"),
        ({"train": 5000}, "training images"),
        ({"dataset": "cifar10-1"}, "protocol"),
    ],
)
def test_a_value_with_one_different_term_is_not_compared(tmp_path, changes, term):
    collected = experiment(tmp_path, **changes)
    assert not differences_shown(collected)
    (table,) = published_values.build(collected)
    notes = " ".join(table.notes)
    assert re.search(
        rf"BGAN: VGG-19 \(.*\) is not compared with .*: different or not known: [^.]*{term}", notes
    )
    assert any(panel.label.startswith("Measured here by as-bgan") for panel in table.panels)


def test_a_value_of_another_metric_or_preset_is_not_compared(tmp_path):
    """The paper is compared with as-bgan: without it there is no comparison, whatever the mAP."""
    collected = experiment(tmp_path, preset="as-other")
    assert not differences_shown(collected)
    figure = published_values.read()[0]
    method = next(method for method in collected.methods if method["name"] == "bgan.vgg19")
    measured = published_values.measured_terms(collected, CIFAR, method, "map")
    assert measured.differing(figure.terms) == ["metric"]


def test_a_cell_opens_the_values_of_the_preset_that_it_shows(tmp_path):
    """A panel of each preset has the same rows: a click describes the clicked number."""
    collected = experiment(tmp_path)
    (table,) = published_values.build(collected)
    measured = [panel for panel in table.panels if panel.label.startswith("Measured here by")]
    assert [panel.label.split()[3].rstrip(":") for panel in measured] == ["as-bgan", "as-deepbit"]
    for panel, row in [(shown, row) for shown in measured for row in shown.rows]:
        for column, cell in zip(table.columns, row.cells, strict=True):
            values = html._origin(collected, panel, row, column, cell).get("data-values")
            assert values is None or np.mean(
                [float(text.split(":")[1]) for text in values.split()]
            ) == pytest.approx(cell.number)


def test_a_difference_of_nothing_has_no_sign():
    signed = [published_values._signed(number) for number in (-0.0004, 0.0004, -0.0006, 0.0126)]
    assert signed == ["0.000", "0.000", "\u22120.001", "+0.013"]


def test_marks_of_measured_cells_are_explained(tmp_path):
    (table,) = published_values.build(
        experiment(
            tmp_path, broken={("bgan.vgg19", 12, 0): "missing"}, distinct={("itq", 32, 1): 3}
        )
    )
    notes = " ".join(table.notes)
    assert "2/3 beside a mean: over the 2 of 3 seeds that are done" in notes
    assert "c 1/3: near-collapse in 1 of 3 seeds" in notes


def test_what_was_withdrawn_or_is_inexact_is_never_compared(tmp_path):
    collected = experiment(tmp_path)
    for figure in published_values.read():
        for method in published_values.compared_methods(collected, figure):
            if figure.status == "withdrawn":
                assert "withdrawn" in published_values.differences(collected, CIFAR, method, figure)
    about = published_values.reported_cell(
        [
            figure
            for figure in published_values.read()
            if figure.qualifier == "above" and figure.bits == 12
        ]
    )
    assert about.text == "above 0.401"
    span = published_values.reported_cell(
        [figure for figure in published_values.read() if figure.to is not None]
    )
    assert span.text == "0.220\N{EN DASH}0.300"
    (table,) = published_values.build(collected)
    lines = csv_files.of_table(table).splitlines()
    assert any("51 epochs" in line and ",above 0.401," in line for line in lines)
    assert any("0.220\N{EN DASH}0.300" in line for line in lines)


def test_the_mean_of_the_re_runs_is_over_the_runs_that_are_listed():
    figures = [
        figure
        for figure in published_values.read()
        if figure.method == "BGAN, released code, 4 epochs"
    ]
    cells = {
        bits: published_values.reported_cell([figure for figure in figures if figure.bits == bits])
        for bits in (12, 24, 32, 48)
    }
    assert [(cell.text, cell.deviation) for cell in cells.values()] == [
        ("0.442", "0.035"), ("0.450", "0.024"), ("0.461", "0.014"), ("0.462", "0.016"),
    ]  # fmt: skip


def test_every_published_figure_has_a_source_and_a_status():
    figures = published_values.read()
    assert len(figures) == 193
    assert {figure.status for figure in figures} == set(published_values.STATUSES)
    known = {
        method for figure in figures for method in figure.against if not method.startswith("bgan")
    }
    assert known == {"lsh", "sh", "pcah", "itq", "knnh", "deepbit_rotation"}
    assert all(
        figure.terms.metric == "as-bgan"
        for figure in figures
        if figure.method.startswith("BGAN") and figure.dataset == "cifar10"
    )


def test_a_data_set_without_published_figures_has_no_table(tmp_path):
    assert "reported-digits" not in {
        table.name for table in build_tables(results.read(write_results(tmp_path)))
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "sure"}, "line 2: expected a source, and a status of confirmed"),
        ({"source": ""}, "line 2: expected a source"),
        ({"value": "40.1"}, "line 2: value 40.1, expected a share between 0 and 1"),
        ({"value": "0.4", "to": "0.3"}, "line 2: value 0.4, expected a share"),
        ({"value": ""}, "line 2: could not convert"),
        ({"metric": "mAP"}, "line 2: metric 'mAP', expected map"),
        ({"qualifier": "perhaps"}, "line 2: qualifier 'perhaps', expected nothing, about or above"),
    ],
)
def test_a_published_figure_without_its_terms_is_refused(tmp_path, changes, message):
    with published_values.PUBLISHED_VALUES.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file)) | changes
    write_csv(tmp_path / "published_values.csv", list(row), [list(row.values())])
    with pytest.raises(BenchmarkError, match=message):
        published_values.read(tmp_path / "published_values.csv")


def test_a_figure_given_twice_is_refused(tmp_path):
    with published_values.PUBLISHED_VALUES.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    write_csv(tmp_path / "published_values.csv", list(row), [list(row.values())] * 2)
    with pytest.raises(BenchmarkError, match="two values of BGAN, 12 bits"):
        published_values.read(tmp_path / "published_values.csv")
