"""The reference lines of a report: quantised features beside the exact rankings."""

import pytest
from builders import loaded, write_results

from harness.plan import Plan
from report import results
from report.figures import plot_style, plots
from report.tables import reference_table
from report.tables.build import build_tables
from report.writers import csv_files, latex


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantised")
    grid = (results.Pair("digits", "pixels"), results.Pair("cifar10", "vgg19_fc7"))
    return results.read(write_results(folder, grid=grid, bits=(12, 16, 32), quantised=True))


def test_the_table_has_bytes_and_values_and_no_method(quantised):
    [table] = reference_table.build(quantised)
    assert table.title == "Reference lines, not hashes"
    digits, cifar10 = table.panels
    rows = {row.label: [cell.text for cell in row.cells] for row in cifar10.rows}
    assert list(rows) == [
        *(f"Product quantisation, {bits} bits" for bits in (12, 16, 32)),
        *("Int8 features", "Exact cosine", "Exact Euclidean"),
    ]
    assert [texts[0] for texts in rows.values()] == ["2", "2", "4", "192", "768", "768"]
    assert [texts[1] for texts in rows.values()] == [
        *("0.512", "0.516", "0.532"),
        *("0.615", "0.620", "0.600"),
    ]
    assert rows["Int8 features"][2] == "0.738"
    assert digits.label == "Digits, Pixels"
    assert table.cites == ["jegou2011product"]
    assert "Product quantisation, 12 bits" in csv_files.of_table(table)
    assert reference_table.TITLE in latex.render(table, [])


def test_there_is_no_such_table_without_quantised_features(tmp_path):
    assert reference_table.build(results.read(write_results(tmp_path))) == []


def test_a_reference_line_that_is_not_scored_is_missing(quantised):
    scores = {key: value for key, value in quantised.scores.items() if key[2:4] != ("pq", 16)}
    incomplete = results.Results(**vars(quantised) | {"scores": scores})
    [table] = reference_table.build(incomplete)
    states = {row.label: row.cells[1].state for row in table.panels[0].rows}
    assert states["Product quantisation, 16 bits"] == "missing"
    assert states["Product quantisation, 12 bits"] == "complete"


def test_tables_have_a_cell_per_code_length_below_the_rule(quantised):
    tables = {table.name: table for table in build_tables(quantised)}
    controls = {row.name: row.cells for row in tables["map"].panels[0].controls}
    assert [cell.text for cell in controls["pq"]] == ["0.512", "0.516", "0.532"]
    assert [cell.span for cell in controls["int8"]] == [3]
    assert any("are no hash codes" in sentence for sentence in tables["map"].conventions)

    costs = tables["costs"].panels
    sizes = [[row.cells[3].text for row in panel.controls] for panel in costs if panel.bits == 12]
    assert sizes[0] == ["768", "768", "192", "2"]

    for table in tables.values():
        for panel in table.panels:
            best = [cell for row in panel.controls for cell in row.cells if cell.best]
            assert not best


def test_the_overview_draws_them_without_markers(quantised, monkeypatch):
    shown = []

    def stored_canvas(*arguments, **kwargs):
        canvas, axes = plot_style.canvas_of(*arguments, **kwargs)
        shown.extend(axes)
        return canvas, axes

    monkeypatch.setattr(plots, "canvas_of", stored_canvas)
    figure = plots.overview(quantised)
    assert {"int8", "pq"} <= set(figure.names)
    assert "reference lines, not hashes" in figure.caption
    lines = {line.get_label(): line for line in shown[0].lines}
    pq, int8 = lines["Product quantisation"], lines["Int8 features"]
    assert pq.get_xydata().tolist() == [[12, 0.512], [16, 0.516], [32, 0.532]]
    assert set(int8.get_ydata()) == {0.615}
    for line in (pq, int8):
        assert line.get_marker() == "None"
        assert line.get_color() == plot_style.QUANTISER_COLOUR
        assert line.get_zorder() < lines["Exact cosine"].get_zorder()
        assert line.get_linestyle() == "--"

    tips = {series["name"]: series for series in figure.panels[0]["series"]}
    assert tips["pq"]["y"] == "0.5120 0.5160 0.5320"


def test_curves_have_the_line_of_their_code_length(quantised):
    figure = plots.precision_at_k(quantised, quantised.pairs[1])
    values = []
    for panel in figure.panels:
        series = {series["name"]: series["y"].split()[0] for series in panel["series"]}
        values.append((series["pq"], series["int8"]))
    assert values == [("0.8120", "0.9150"), ("0.8160", "0.9150"), ("0.8320", "0.9150")]


def test_the_plan_scores_product_quantisation_at_every_code_length():
    changes = {"methods": ["itq"], "bits": [16, 8], "controls": ["exact-l2", "int8", "pq"]}
    plan = Plan.load(loaded(**changes))
    scored = {score.variant: plan.scored(score) for score in plan.scores}
    assert scored["pq"] == [(8, 0), (16, 0)]
    assert scored["int8"] == scored["exact-l2"] == [(0, 0)]
    assert [bits for bits, _ in scored["itq"]] == [16, 16, 16, 8, 8, 8]
