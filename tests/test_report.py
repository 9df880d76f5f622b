"""The report against a small synthetic experiment whose every number is made here."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from decimal import ROUND_HALF_EVEN, Decimal
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from builders import (
    DIGITS,
    HOSTILE,
    METHODS,
    SEEDS,
    Page,
    built,
    dataset_facts,
    dataset_relations,
    describe,
    described,
    picture,
    rows_of,
    tuned,
    write_csv,
    write_extras,
    write_results,
)
from hypothesis import given
from hypothesis import strategies as st

from harness import records, schemas, storage
from harness.errors import BenchmarkError
from harness.plan import EXPERIMENTS
from harness.plugins import ROOT
from harness.variants import Catalogue
from report import __main__ as command
from report import references, results, summary
from report.figures import plot_style, plots, training_curves
from report.tables import build, table_specs, tuning_table
from report.tables import cells as cells_of_tables
from report.tables.build import build_tables
from report.tables.table import Cell, Row
from report.tables.table_specs import Value
from report.writers import experiment_list, html, latex


def cells(table, method, panel=0):
    """The cells of a method in one panel of a table."""
    panel_rows = table.panels[panel]
    return next(row.cells for row in panel_rows.rows + panel_rows.controls if row.name == method)


def change_runs(folder, change):
    """Replace values of each line of runs.csv by those that `change` returns for it."""
    runs = [run | change(run) for run in rows_of(folder / "runs.csv")]
    write_csv(folder / "runs.csv", schemas.RUNS_CSV, [run.values() for run in runs])
    describe(folder)


def printed(cell):
    return f"{cell.text} ± {cell.deviation}" if cell.deviation else cell.text


# Cells


def test_mean_and_deviation_of_an_artificial_column(tmp_path):
    values = {
        "lsh": [0.1, 0.2, 0.3],
        "pcah": [0.35],
        "itq": [0.4, 0.4, 0.43],
        "bgan": [0.41, 0.41, 0.41],
    }
    table = built(write_results(tmp_path, map_of=lambda name, bits, seed: values[name][seed]))[
        "map"
    ]
    assert [printed(cells(table, name)[0]) for name in values] == [
        "0.200 ± 0.100",
        "0.350",
        "0.410 ± 0.017",
        "0.410 ± 0.000",
    ]
    assert [cells(table, name)[0].best for name in values] == [
        False,
        False,
        True,
        True,
    ]  # 0.41 both, as printed


def test_values_above_chance_are_shown_where_chance_is_high(tmp_path):
    """(mAP - chance) / (1 - chance) at chance 0.52: 0.76 is halfway between chance and 1."""
    values = {"lsh": [0.52, 0.64, 0.76], "pcah": [0.76], "itq": [1.0] * 3, "bgan": [0.4] * 3}
    folder = write_results(tmp_path, map_of=lambda name, bits, seed: values[name][seed])
    assert "map-above-chance" not in built(folder)

    path = folder / "metrics.csv"
    path.write_text(path.read_text().replace(",map_chance,,0.104", ",map_chance,,0.52"))
    table = built(describe(folder))["map-above-chance"]
    assert [printed(cells(table, name)[0]) for name in values] == [
        "0.250 ± 0.250",
        "0.500",
        "1.000 ± 0.000",
        "-0.250 ± 0.000",
    ]
    assert cells(table, "exact-cosine")[0].text == "0.208"  # 0.62

    path.write_text(path.read_text().replace(",map_chance,,0.52", ",map_chance,,1.0"))
    assert "map-above-chance" not in built(describe(folder)), "all items are relevant"


def test_controls_are_set_apart_and_never_best(tmp_path):
    table = built(write_results(tmp_path))["map"]
    control = cells(table, "exact-cosine")
    assert [(cell.text, cell.span, cell.best) for cell in control] == [("0.620", 2, False)]
    assert [row.name for row in table.panels[0].rows] == ["lsh", "pcah", "itq", "bgan"]
    assert all(
        cells(table, "bgan")[index].best for index in (0, 1)
    )  # although the control is higher
    assert "not upper bounds" in table.explanation


def test_a_method_with_code_lengths_of_its_own_has_dashes_and_is_not_incomplete(tmp_path):
    unplanned = {("itq", 32, seed): "unplanned" for seed in range(3)}
    folder = write_results(tmp_path, broken=unplanned)
    tables = built(folder)
    assert [cell.state for cell in cells(tables["map"], "itq")] == ["complete", "omitted"]
    assert "not run at this code length" in tables["map"].explanation

    of_lengths = tables["precision-at-k--digits--pixels"].panels  # one for each code length
    assert [[row.name for row in panel.rows].count("itq") for panel in of_lengths] == [1, 0]
    ((_, bests),) = summary.best_methods(results.read(folder))
    assert [best.incomplete for best in bests] == [[], []]


def test_cells_without_all_their_runs_say_so(tmp_path):
    broken = {
        ("itq", 16, 2): "missing",
        ("bgan", 16, 0): "failed",
        ("bgan", 16, 1): "missing",
        ("bgan", 16, 2): "missing",
    }
    broken |= {
        ("pcah", 16, 0): "missing",
        ("lsh", 32, 0): "failed",
        ("lsh", 32, 1): "failed",
        ("lsh", 32, 2): "failed",
    }
    folder = write_results(
        tmp_path,
        broken=broken,
        map_of=lambda name, bits, seed: {"itq": 0.9}.get(name, 0.3) + seed / 100,
    )
    table = built(folder)["map"]
    itq = cells(table, "itq")[0]
    assert (printed(itq), itq.seeds, itq.best) == ("0.905 ± 0.007", "2/3", False)
    assert cells(table, "lsh")[0].best  # the only complete one
    assert [cells(table, name)[0].text for name in ("bgan", "pcah")] == ["failed 1/3", "missing"]
    assert cells(table, "lsh")[1].text == "failed 3/3"
    assert cells(table, "lsh")[1].detail == "ValueError: loss is not finite at step 40"
    assert (
        "2/3 beside a mean: over the 2 of 3 seeds that are done; never bold." in table.explanation
    )
    five = built(
        write_results(tmp_path / "five", seeds=range(5), broken={("itq", 16, 2): "missing"})
    )["map"]
    assert "4/5 beside a mean: over the 4 of 5 seeds that are done" in five.explanation


def test_a_near_collapse_stays_in_the_mean_and_is_marked(tmp_path):
    few = {
        ("itq", 16, 0): 89,
        ("itq", 16, 1): 90,
        ("itq", 32, 1): 2,
        ("itq", 32, 2): 1,
    }  # 5 % of 1797 is 89.85
    few |= {("pcah", 16, 0): 1} | {("lsh", 16, seed): 5 for seed in SEEDS}
    values = {"lsh": 0.2, "pcah": 0.3, "itq": 0.9, "bgan": 0.4}
    folder = write_results(
        tmp_path / "results",
        distinct=few,
        broken={("itq", 32, 0): "missing", ("itq", 16, 2): "failed"}
        | {("bgan", 32, seed): "missing" for seed in SEEDS},
        map_of=lambda name, bits, seed: values[name] + seed / 100,
    )
    tables = built(folder)
    itq, lsh, pcah, bgan = (
        cells(tables["map"], name)[0] for name in ("itq", "lsh", "pcah", "bgan")
    )
    assert (printed(itq), itq.seeds, itq.collapse.mark) == ("0.905 ± 0.007", "2/3", "c 1/2")
    assert [cell.collapse.mark for cell in (lsh, pcah)] == ["c 3/3", "c"]
    assert bgan.collapse is None
    assert (
        "c 3/3: near-collapse in 3 of 3 seeds, fewer distinct codes than 5 % of the items or "
        "of all codes." in tables["map"].explanation
    )
    for name in ("map-tie-order", "map-at-1000", "precision-at-k--digits--pixels"):
        assert cells(tables[name], "itq")[0].collapse.mark == "c 1/2"
    for name in ("costs", "code-health"):
        assert cells(tables[name], "itq")[0].collapse is None
        assert "near-collapse" not in tables[name].explanation
    source = latex.render(tables["map"], [])
    assert r"0.905{\scriptsize$\,\pm\,$0.007}\textsuperscript{2/3,\,c\,1/2} &" in source
    assert r"PCAH & 0.300\textsuperscript{c} & " in source
    shown = (
        html.environment()
        .get_template("table.html.j2")
        .module.cell(cells(tables["map-at-1000"], "itq")[0], "number", {})
    )
    assert (
        '<span class="seeds">2/3</span> '
        '<sup><abbr title="near-collapse in 1 of 2 seeds">c 1/2</abbr></sup></td>' in shown
    )


@pytest.mark.parametrize(
    ("bits", "distinct", "collapsed"),
    [(12, 2185, False), (12, 204, True), (48, 2999, True), (48, 3000, False)],
)
def test_a_near_collapse_is_of_the_codes_that_there_could_be(bits, distinct, collapsed):
    """12 bits have 4,096 codes: 5 % of the codes is 204.8; 5 % of 60,000 items is 3,000."""
    run = {"bits": bits, "items": "60000", "distinct_codes": str(distinct)}
    assert bool(cells_of_tables._collapse([run])) == collapsed


def test_the_summary_states_that_a_best_method_collapsed(tmp_path, complete):
    folder = write_results(
        tmp_path / "results",
        distinct={("itq", 16, 1): 3, ("lsh", 16, 1): 3},
        map_of=lambda name, bits, seed: {"itq": 0.9}.get(name, 0.3),
    )
    assert cells(built(folder)["map"], "itq")[0].best
    ((_, bests),) = summary.best_methods(results.read(folder))
    assert [(best.bits, best.labels, printed(best.cell)) for best in bests] == [
        (bits, ["ITQ"], "0.900 ± 0.000") for bits in (16, 32)
    ]
    assert [best.collapsed for best in bests] == [["ITQ: near-collapse in 1 of 3 seeds"], []]
    text = " ".join("".join(Page(complete / "index.html").text).split())
    shown = re.findall(
        r"16 bits BGAN [\d.]+ ± [\d.]+ \(BGAN: near-collapse in 1 of 3 seeds\)", text
    )
    assert len(shown) == text.count("(BGAN: near-collapse") == 2, "once for each data set"
    assert "LSH: near-collapse" not in text, "it is not the best"


def test_a_done_run_without_a_score_is_named(tmp_path):
    folder = write_results(tmp_path)
    lines = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "metrics.csv").write_text(
        "".join(line for line in lines if ",itq,16,1,map," not in line), encoding="utf-8"
    )
    describe(folder)
    assert cells(built(folder)["map"], "itq")[0].text == "not scored"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(1, 4))
def test_best_is_the_maximum_of_the_printed_numbers(numbers, decimals):
    value = Value(metric="map", decimals=decimals)
    rows = [
        Row(str(index), "", [Cell(value.printed(number))]) for index, number in enumerate(numbers)
    ]
    exact = [
        Decimal(number).quantize(Decimal(10) ** -decimals, ROUND_HALF_EVEN) for number in numbers
    ]
    assert [row.cells[0].best for row in build._with_best(rows)] == [
        number == max(exact) and len(exact) > 1 for number in exact
    ]


@given(st.floats(0, 1e6), st.integers(0, 4))
def test_a_number_is_printed_as_its_exact_value_rounds(number, decimals):
    printed = Value(metric="map", decimals=decimals).printed(number)
    assert Decimal(printed.replace(",", "")) == Decimal(number).quantize(
        Decimal(10) ** -decimals, ROUND_HALF_EVEN
    )


@given(st.floats(0.001, 1e6), st.integers(1, 4))
def test_significant_digits_are_as_requested_or_the_whole_number(number, significant):
    printed = Value(fact="fit_seconds", significant=significant).printed(number).replace(",", "")
    digits = printed.replace(".", "").lstrip("0")
    assert (
        len(digits) in (significant, significant + 1) or "." not in printed
    )  # 0.999 rounds to one digit more
    assert float(printed) == pytest.approx(number, rel=0.51 * 10.0 ** (1 - significant), abs=0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_summary_is_numpys_mean_and_deviation(numbers):
    cell = cells_of_tables._mean_cell([numbers], Value(metric="map"))
    assert cell.number == pytest.approx(np.mean(numbers), abs=1e-12)
    assert cell.spread == pytest.approx(np.std(numbers, ddof=1), abs=1e-7)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (0.00031, "<0.001"),
        (0.0126, "0.013"),
        (0.96, "0.96"),
        (5.55, "5.5"),
        (12.4, "12"),
        (1234.6, "1,235"),
    ],
)
def test_significant_digits(number, text):
    assert Value(fact="fit_seconds", significant=2, decimals=1).printed(number) == text


def test_ranges_facts_and_groups(tmp_path):
    tables = built(write_results(tmp_path, map_of=lambda name, bits, seed: 0.5))
    assert cells(tables["map-tie-order"], "itq")[0].text == "0.469\N{EN DASH}0.531"
    assert tables["code-health"].groups[0] == ("Distinct codes (share)", 2)
    assert [cell.text for cell in cells(tables["costs"], "itq", panel=1)][2:] == ["312", "4"]
    assert [cell.text for cell in cells(tables["costs"], "exact-l2")] == [*"\N{EN DASH}" * 3, "768"]
    assert cells(tables["code-health"], "itq")[0].text == "0.835"  # 1500 of 1797
    assert [cells(tables["code-health"], name)[-1].text for name in ("itq", "bgan")] == [
        "\N{EN DASH}",
        "0.25",
    ]


def test_a_column_that_is_equal_in_every_row_is_a_sentence(tmp_path):
    folder = write_results(tmp_path)
    costs = built(folder)["costs"]
    assert [column.label for column in costs.columns] == [
        "Fit (s)",
        "Encode (µs)",
        "Memory (MiB)",
        "Bytes",
    ]
    assert costs.notes[:2] == ["Threads: 1.", "Device: cpu."]
    change_runs(folder, lambda run: {"device": "a GPU" if run["variant"] == "bgan" else "cpu"})
    unlike = built(folder)["costs"]
    assert [column.label for column in unlike.columns][4:] == ["Device"]
    assert [cells(unlike, name)[-1].text for name in ("itq", "bgan")] == ["cpu", "a GPU"]
    assert unlike.notes[0] == "Threads: 1."


def test_a_table_states_what_each_row_uses(tmp_path):
    uses = {"tier": "features", "settings": "default", "trials": "0", "labels_used": "0"}
    tuned_row = {"tier": "images", "fidelity": "C", "settings": "tuned", "trials": "16"}

    def change(run):
        return uses | (tuned_row | {"labels_used": "1497"} if run["variant"] == "bgan" else {})

    folder = write_results(tmp_path)
    assert not built(folder)["uses"].panels
    change_runs(folder, change)
    table = built(folder)["uses"]
    labels = ["Sees", "Fidelity", "Settings", "Trials", "Labels"]
    assert [column.label for column in table.columns] == labels
    assert [panel.bits for panel in table.panels] == [None]
    texts = [[cell.text for cell in cells(table, name)] for name in ("itq", "bgan")]
    assert texts[0] == ["features", "\N{EN DASH}", "default", "0", "0"]
    assert texts[1] == ["images", "C", "tuned", "16", "1497"]


def test_a_fact_that_runs_csv_lacks_is_left_out_or_an_error(tmp_path):
    collected = results.read(write_results(tmp_path))
    value = Value(fact="query_microseconds", label="Query", optional=True)
    entry = table_specs.TableSpec(
        "timed", "", [Value(fact="fit_seconds", label="Fit"), value], columns="values"
    )
    (table,) = build_tables(collected, [entry])
    assert [column.label for column in table.columns] == ["Fit"]
    assert "Digits, Pixels, Query: omitted, no run has it." in table.notes
    required = {"name": "timed", "title": "t", "values": [{"fact": "query_microseconds"}]}
    with pytest.raises(BenchmarkError, match="fact: unknown name 'query_microseconds'"):
        table_specs.check({"tables": [required]})


def test_a_dagger_is_of_the_one_best_that_beats_every_complete_cell(tmp_path):
    values = {"lsh": 0.1, "pcah": 0.2, "itq": 0.3, "bgan": 0.4}

    def table(name, verdicts, **options):
        folder = write_results(
            tmp_path / name,
            map_of=lambda name, bits, seed: values[name],
            significant=verdicts,
            **options,
        )
        return built(folder)["map"]

    over_all = {("bgan", name): "yes" for name in ("lsh", "pcah", "itq")}
    shown = table("all", over_all)
    assert [[cell.dagger for cell in cells(shown, name)] for name in values] == [
        [False] * 2
    ] * 3 + [[True] * 2]
    assert "p < 0.05 divided by the number of code lengths" in shown.explanation
    assert "detects with power 0.8: 0.015." in shown.explanation
    source = latex.render(shown, [])
    assert r"BGAN & \textbf{0.400}{\scriptsize$\,\pm\,$0.000}\textsuperscript{\dag{}} & " in source
    for verdict in ("no", "too few seeds"):
        shown = table(verdict, over_all | {("bgan", "lsh"): verdict})
        assert not any(cell.dagger for cell in cells(shown, "bgan"))
        assert "No \N{DAGGER}: no method" in shown.explanation
        assert ("not tested" in shown.explanation) == (verdict == "too few seeds")
    incomplete = table(
        "lacking", over_all | {("bgan", "lsh"): "no"}, broken={("lsh", 32, 0): "missing"}
    )
    assert [cell.dagger for cell in cells(incomplete, "bgan")] == [
        False,
        True,
    ]  # an incomplete cell competes with none
    values["itq"] = 0.4001
    assert not any(cell.dagger for name in values for cell in cells(table("tied", {}), name))


@pytest.mark.parametrize("columns", ["bits", "values"])
def test_a_dagger_does_not_hang_on_how_a_table_prints_the_metric(tmp_path, columns):
    values = {"lsh": 0.1, "pcah": 0.2, "itq": 0.3, "bgan": 0.4}
    over_all = {("bgan", name): "yes" for name in values}
    collected = results.read(
        write_results(tmp_path, map_of=lambda name, bits, seed: values[name], significant=over_all)
    )
    value = Value(metric="map", label="mAP", decimals=4, deviation=False)
    (table,) = build_tables(
        collected, [table_specs.TableSpec("own", "", [value], columns=columns, best=True)]
    )
    assert all(
        cell.dagger for panel in range(len(table.panels)) for cell in cells(table, "bgan", panel)
    )
    assert "\N{DAGGER}: significantly higher than every other method" in table.explanation


def test_intervals_stand_below_the_means_of_methods_and_controls(tmp_path):
    shown = built(write_results(tmp_path, map_of=lambda name, bits, seed: 0.5))["map"]
    assert [cell.interval for cell in cells(shown, "itq")] == ["[0.480, 0.520]"] * 2
    lines = latex.render(shown, []).splitlines()
    assert r" & {\scriptsize {[}0.480, 0.520{]}} & {\scriptsize {[}0.480, 0.520{]}} \\" in lines
    assert r" & \multicolumn{2}{c}{{\scriptsize {[}0.600, 0.640{]}}} \\" in lines
    assert "the variance over queries and over seeds (over queries only" in shown.explanation
    assert not any(cell.interval for cell in cells(built(tmp_path)["map-tie-order"], "itq"))


# Omissions, captions, summary


def test_an_omitted_cut_loses_its_column_or_its_panel_and_is_stated(tmp_path):
    tables = built(write_results(tmp_path, grid=(DIGITS, ("cifar10", "gist"))))
    assert [panel.label for panel in tables["map-at-5000"].panels] == ["Cifar10, Gist"]
    assert (
        "Digits, Pixels, k = 5,000: omitted, the database is too small."
        in tables["map-at-5000"].notes
    )
    assert [column.k for column in tables["precision-at-k--digits--pixels"].columns] == [
        1,
        10,
        100,
        1000,
    ]
    assert [column.k for column in tables["precision-at-k--cifar10--gist"].columns] == [
        1,
        10,
        100,
        1000,
        5000,
    ]


def test_a_metric_that_no_data_set_has_makes_no_file(plain):
    assert (plain / "tables/map.tex").is_file()
    assert not (plain / "tables/map-at-5000.tex").exists()
    text = (plain / "index.html").read_text(encoding="utf-8")
    left_out = text.partition('<section id="tables-left-out"')[2].partition("</section>")[0]
    assert (
        "<li>Mean average precision at 5,000, divided by the hits found: "
        "Digits, Pixels, k = 5,000: omitted, the database is" in left_out
    )
    assert "#table-map-at-5000" not in text, "nor do the contents lead to it"


def test_omissions_with_one_reason_share_a_sentence(tmp_path):
    table = built(write_results(tmp_path))["graded"]
    what = "NDCG@100; NDCG@1,000; NDCG@1,000, gain s; ACG@100; ACG@1,000"
    assert table.notes == [f"Digits, Pixels, {what}: omitted, items have one label each."]
    assert not table.panels


def test_captions_name_definition_protocol_and_provenance(tmp_path):
    folder = write_results(tmp_path, dirty=True, queries_left_out={"digits/pixels": 2})
    table = built(folder)["map-at-1000"]
    assert table.explanation.startswith(
        "mAP@1,000[found]: average precision over the first 1,000 ranks, "
        "divided by the number of relevant"
    )
    assert "standard deviation (n \N{MINUS SIGN} 1) over 3 seeds" in table.explanation
    assert table.protocol == [
        "Digits, Pixels: protocol default, 300 queries, database of 1,497, "
        "1,497 training images, share of relevant items 0.100, "
        "2 queries without a relevant item omitted. Rules of ours: 30 queries a class."
    ]
    assert table.notes == [
        "Commit 0123456789ab (modified), 2026-01-02. Features: Pixels (192 dimensions). "
        "Task: digits/pixels, split cdcdcdcdcdcd; metrics version 5."
    ]


def test_all_features_of_a_data_set_share_its_protocol(tmp_path):
    pairs = [
        results.Pair(dataset, features)
        for dataset in ("digits", "cifar10")
        for features in ("pixels", "gist")
    ]
    (digits, cifar10) = built(write_results(tmp_path, grid=pairs))["map"].protocol
    assert digits.startswith("Digits, Pixels; Digits, ")
    assert cifar10.startswith("Cifar10, Pixels; Cifar10, ")
    assert digits.count("protocol default") == 1


def test_summary_counts_runs_and_states_what_was_tested(tmp_path):
    values = {"lsh": [0.1] * 3, "pcah": [0.44], "itq": [0.4, 0.45, 0.5], "bgan": [0.5, 0.55, 0.6]}
    broken = {("lsh", 32, 0): "failed", ("lsh", 32, 1): "missing"}
    verdicts = {("bgan", "pcah"): "yes", ("bgan", "lsh"): "too few seeds"}
    collected = results.read(
        write_results(
            tmp_path,
            broken=broken,
            map_of=lambda name, bits, seed: values[name][seed],
            significant=verdicts,
        )
    )
    assert summary.what_ran(collected) == (
        "4 methods, 2 code lengths (16, 32 bits), 3 seeds, 1 data set (Digits, Pixels). "
        "Of 20 runs: 18 done, 1 failed, 1 missing."
    )
    ((_, bests),) = summary.best_methods(collected)
    assert [(best.labels, printed(best.cell)) for best in bests] == [
        (["BGAN"], "0.550 ± 0.050")
    ] * 2
    assert [(best.dagger, best.undecided, best.untested) for best in bests] == [
        (False, ["ITQ"], ["LSH"]),
        (False, ["ITQ"], []),
    ]
    assert [best.incomplete for best in bests] == [[], ["LSH"]]


def test_declarations_select_filter_and_order(tmp_path):
    entry = table_specs.TableSpec(
        "map",
        "",
        [Value(metric="map")],
        best=True,
        select={"methods": ["itq", "lsh"], "bits": [32], "datasets": ["digits"]},
    )
    (table,) = build_tables(results.read(write_results(tmp_path)), [entry])
    assert [row.name for row in table.panels[0].rows] == ["itq", "lsh"]
    assert [column.bits for column in table.columns] == [32]


@pytest.mark.parametrize(
    ("selected", "shown"),
    [
        ({"methods": ["itq", "absent", "lsh"]}, True),
        ({"methods": ["itq", "absent"]}, False),  # one alone compares nothing
        ({"methods": ["absent", "missing"]}, False),
        ({"methods": ["itq"]}, True),
        ({"methods": ["absent"]}, False),
        ({"bits": [64, 32]}, True),
        ({"bits": [64]}, False),
        ({"datasets": ["cifar10"], "methods": ["itq", "lsh"]}, False),
    ],
)
def test_a_selection_that_leaves_nothing_to_compare_makes_no_table(tmp_path, selected, shown):
    entry = table_specs.TableSpec("map", "", [Value(metric="map")], select=selected)
    assert len(build_tables(results.read(write_results(tmp_path)), [entry])) == shown


def test_ablations_have_tables_of_the_variants_that_were_run(tmp_path):
    levels = {"itq": 0.5, "bgan": 0.3, "bgan-n": 0.31, "bgan-nc": 0.2, "bgan-ste": 0.4}
    tables = built(
        write_results(
            tmp_path, methods=[(name, name, level, True) for name, level in levels.items()]
        )
    )
    assert [row.name for row in tables["loss-components"].panels[0].rows] == [
        "bgan-n",
        "bgan-nc",
        "bgan",
    ]
    assert [row.name for row in tables["activation"].panels[0].rows] == ["bgan", "bgan-ste"]
    assert [row.name for row in tables["map"].panels[0].rows] == list(levels)
    assert not {"released", "graph"} & set(tables)
    assert cells(tables["loss-components"], "bgan-n")[0].best
    assert cells(tables["loss-components"], "bgan-n")[0].deviation


TRIED = {
    "features": "pixels", "bits": [16, 32], "seeds": [100], "metric": "map",
    "methods": {
        "bgan": {"of": "bgan", "label": "BGAN", "chosen": 1, "settings_tried": 3,
                 "commit": "ab" * 20,
                 "trials": [{"set": {}, "value": 0.6},
                            {"set": {"learning_rate": 0.003}, "value": 0.7},
                            {"set": {"epochs": 5}, "value": None}]},
        "itq": {"of": "itq", "label": "ITQ", "chosen": 0, "settings_tried": 2,
                "core_seconds": 12.4, "commit": "cd" * 20,
                "trials": [{"set": {}, "value": 0.5}, {"set": {"iterations": 5}, "value": 0.4}]},
    },
}  # fmt: skip


def test_tuned_rows_appear_with_the_others_and_state_it(
    tmp_path,
):
    bgan = [("bgan", "BGAN", 0.6, True), ("bgan-n", "BGAN, N", 0.5, True)]
    chosen = [
        ("bgan.tuned-digits", "BGAN (tuned)", 0.7, True),
        ("bgan-n.as-bgan-digits", "BGAN, N (BGAN's tuning)", 0.6, True),
    ]
    relations = {
        "bgan.tuned-digits": tuned("bgan"),
        "bgan-n.as-bgan-digits": tuned("bgan-n", whose="bgan"),
    }
    folder = write_results(tmp_path, methods=bgan + chosen, rows=relations, tried={"digits": TRIED})
    tables = built(folder)
    order = ["bgan-n", "bgan-n.as-bgan-digits", "bgan", "bgan.tuned-digits"]
    assert [row.name for row in tables["loss-components"].panels[0].rows] == order
    assert (
        "(tuned): the best of 2 or 3 settings by mean mAP over code lengths on validation labels"
        in tables["loss-components"].explanation
    )
    assert "Other rows: default settings" in tables["map"].explanation
    assert "other features" not in tables["map"].explanation
    assert "default settings" not in tables["costs"].explanation
    assert [cell.text for cell in cells(tables["settings-digits"], "bgan")] == [
        "0.600",
        "0.700",
        "\N{EN DASH}",
    ]
    assert [cell.best for cell in cells(tables["settings-digits"], "itq")] == [True, False, False]
    note = "the time of fitting and encoding: BGAN 3, time not recorded; ITQ 2, 12 core-seconds."
    assert tables["settings-digits"].notes[-2].endswith(note)
    assert (
        "BGAN: setting 1: defaults; setting 2: learning_rate 0.003; setting 3: epochs 5."
        in tables["settings-digits"].notes
    )
    assert (
        tables["settings-digits"]
        .notes[-1]
        .endswith("features pixels. Commit abababababab, cdcdcdcdcdcd.")
    )
    assert r"\textbf{0.700}" in latex.render(tables["settings-digits"], [])
    describe(folder, described(folder) | {"tried": {"digits": TRIED | {"features": "gist"}}})
    assert "Chosen on other features: gist for digits." in built(folder)["map"].explanation


def test_the_expected_best_of_draws_is_that_of_all_draws():
    values = [0.3, 0.7, 0.5, 0.7]
    for count in (1, 2, 3):
        draws = list(itertools.product(values, repeat=count))
        mean = sum(map(max, draws)) / len(draws)
        assert tuning_table.expected_best(values, count) == pytest.approx(mean)


def test_the_expected_best_setting_is_of_the_first_stage(tmp_path):
    first = {"bits": [32], "seeds": [100], "core_seconds": 3.0, "commit": "ab" * 20}
    values = (0.2, 0.4, None, 0.6)
    first["trials"] = [{"set": {"iterations": n}, "value": value} for n, value in enumerate(values)]
    of_itq = TRIED["methods"]["itq"] | {"first": first, "settings_tried": 4}
    tried = TRIED | {"methods": TRIED["methods"] | {"itq": of_itq}}
    rows = {"bgan": tuned("bgan")}
    tables = built(write_results(tmp_path, rows=rows, tried={"digits": tried}))
    table = tables["expected-best-digits"]
    assert [column.label for column in table.columns] == ["n = 1", "n = 2", "n = 3"]
    assert [cell.text for cell in cells(table, "itq")] == ["0.400", "0.489", "0.533"]
    assert [cell.text for cell in cells(table, "bgan")] == ["0.650", "0.675", ""]
    provenance = tables["settings-digits"].notes[-1]
    assert provenance.startswith("First stage: 32 bits, seed 100. 16, 32 bits, seed 100")
    assert "ITQ 4, 15 core-seconds." in tables["settings-digits"].notes[-2]


def test_settings_that_no_row_has_are_no_table(tmp_path):
    assert "settings-digits" not in built(write_results(tmp_path, tried={"digits": TRIED}))


def test_a_table_states_which_cells_have_fewer_seeds(tmp_path):
    """So have some of a published table to which rows of other experiments were joined."""
    everything = built(write_results(tmp_path / "all"))["map"]
    assert not [text for text in everything.conventions if text.startswith("Over ")]
    fewer = {("bgan", 16, 2), ("bgan", 32, 2), ("itq", 32, 1), ("itq", 32, 2)}
    table = built(write_results(tmp_path / "fewer", broken=dict.fromkeys(fewer, "unplanned")))[
        "map"
    ]
    assert [text for text in table.conventions if text.startswith("Over ")] == [
        "Over 1 seed: ITQ at 32 bits.",
        "Over 2 seeds: BGAN at 16, 32 bits.",
    ]


def test_conventions_state_what_they_reorder(tmp_path):
    """as-trec falls with mAP here, so it reverses every pair; all other presets rise with mAP."""
    table = built(write_results(tmp_path))["conventions"]
    assert [panel.bits for panel in table.panels] == [16, 32]
    assert [column.label for column in table.columns][:3] == ["mAP", "[found]", "[min]"]
    assert not table.groups
    row = cells(table, "bgan")
    assert [float(cell.text) / float(row[0].text) for cell in row[1:6]] == pytest.approx(
        [1.2, 0.9, 0.1, 1.1, 1], abs=0.005
    )
    orders = [note for note in table.notes if "pairs of methods" in note]
    panels = "Digits, Pixels, 16 bits; Digits, Pixels, 32 bits"
    assert (
        orders[0] == f"{panels}: of 6 pairs of methods ordered by mAP, "
        "these have another order under trec_eval: 6 pairs."
    )
    assert len(orders) == 1


def test_a_convention_that_no_data_set_has_is_omitted_and_stated(tmp_path):
    omitted = {
        "dataset": "digits",
        "features": "pixels",
        "metric": "as-bgan",
        "k": None,
        "reason": "3 queries have no relevant item",
    }
    table = built(write_results(tmp_path, methods=METHODS[:2], omitted=[omitted]))["conventions"]
    assert "BGAN" not in [column.label for column in table.columns]
    assert "Digits, Pixels, BGAN: omitted, 3 queries have no relevant item." in table.notes
    assert any(
        note.endswith("another order under trec_eval: LSH and PCAH.") for note in table.notes
    )


def test_every_selected_method_is_a_variant():
    catalogue = Catalogue(
        yaml.safe_load((ROOT / "config/variants.yaml").read_text(encoding="utf-8"))["variants"]
    )
    for entry in table_specs.read():
        for name in entry.select.get("methods", []):
            assert catalogue.resolve("methods", name).label


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: a b, title: t, values: [{metric: map}]}", "lower-case letters"),
        ("{name: a, title: t, values: [], colour: red}", "unknown key 'colour'"),
        ("{name: a, title: t, values: [], colums: k}", "did you mean 'columns'"),
        ("{name: a, values: []}", "title is missing"),
        ("{name: a, title: t, values: []}", "at least one"),
        ("{name: a, title: t, values: map}", "values: found 'map', expected a list"),
        ("{name: a, title: 3, values: [{metric: map}]}", "title: found 3, expected a text"),
        ("{name: a, title: t, values: [map]}", "found 'map', expected keys"),
        ("map", "tables: entry 1: found 'map', expected keys"),
        ("{name: a, title: t, values: [{label: x}]}", "either a metric or a fact"),
        ("{name: a, title: t, values: [{metric: mpa}]}", "did you mean 'map'"),
        ("{name: a, title: t, values: [{fact: fit_second}]}", "did you mean 'fit_seconds'"),
        (
            "{name: a, title: t, values: [{metric: map}], columns: seeds}",
            "expected bits, k, values",
        ),
        ("{name: a, title: t, values: [{metric: precision@k}]}", "k: found None for precision@k"),
        ("{name: a, title: t, values: [{metric: precision@k}], k: 7}", "expected one of 1, 10"),
        (
            "{name: a, title: t, values: [{metric: map}], k: 10}",
            "k: found 10 for map, which has no",
        ),
        (
            "{name: a, title: t, values: [{metric: precision@k}], columns: k, k: 10}",
            "expected a list",
        ),
        ("{name: a, title: t, values: [{metric: map}], select: {methods: itq}}", "select: found"),
        (
            "{name: a, title: t, values: [{metric: map_best, interval: true}]}",
            "an interval of map_best, expected one of map",
        ),
        (
            "{name: a, title: t, values: [{metric: map_best, above_chance: true}]}",
            "expected it for map, without an interval",
        ),
        (
            "{name: a, title: t, values: [{metric: map, to: map_best}], best: true}",
            "best: found a range, expected single numbers",
        ),
        (
            "{name: a, title: t, values: [{metric: map}, {metric: map_best}], controls: true}",
            "expected one value with controls",
        ),
    ],
)
def test_an_invalid_specification_is_one_clear_error(tmp_path, entry, message):
    """In tables.yaml, and under the key `tables` of a configuration."""
    (tmp_path / "tables.yaml").write_text(f"tables:\n- {entry}\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match=message):
        table_specs.read(path=tmp_path / "tables.yaml")
    with pytest.raises(BenchmarkError, match=message):
        table_specs.check({"tables": [yaml.safe_load(entry)]})


# The page


def test_the_page_needs_no_network_and_every_link_leads_somewhere(complete):
    page = Page(complete / "index.html")
    assert not [address for address in page.loaded if not address.startswith(("#", "data:"))]
    outside = [link for link in page.links if link.startswith("http")]
    assert all(link.startswith("https://doi.org/") for link in outside)
    assert len(page.ids) == len(set(page.ids))
    for link in set(page.links) - set(outside):
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif "/run.json" not in link:  # the runs of this experiment are made up
            assert (complete / link).resolve().is_file(), link
    text = (complete / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)|@import|\bnan\b", text)


def test_the_page_states_what_went_wrong(complete):
    text = " ".join(Page(complete / "index.html").text)
    assert "Of 40 runs: 32 done, 4 failed, 4 missing." in text
    assert "ValueError: loss is not finite at step 40" in text
    assert "logs/runs/digits/pixels/itq/32bit/seed1.log" in text
    assert (
        "Not complete: ITQ, 32 bits, on Digits, Pixels: 2/3 seeds; "
        "BGAN, 32 bits, on Digits, Pixels: failed 1/3" in text
    )


def test_references_are_text_on_the_page(tmp_path):
    """What BibTeX entries usually hold; a DOI is an address and stays as it is."""
    title = r"title = {100\% of {G}\"odel \& {\'E}va's $\ell_1$~norms, pages 1--2},"
    author = '{G{\\"o}del, Kurt}'
    entry = (
        f"@article{{mine2026,\n  author = {author},\n  {title}\n  doi = {{10.1/a~b--c_$d}},\n}}\n"
    )
    (tmp_path / "references.bib").write_text(entry)
    reference = references.read(tmp_path / "references.bib")["mine2026"]
    assert (reference.authors, reference.title) == (
        "Kurt G\u00f6del",
        "100% of G\u00f6del & \u00c9va's ell_1 norms, pages 1\N{EN DASH}2",
    )
    assert reference.link == "https://doi.org/10.1/a~b--c_$d"


def test_references_are_those_of_the_rows(complete):
    text = " ".join(Page(complete / "index.html").text)
    assert "Binary Generative Adversarial Networks for Image Retrieval" in text
    assert "Learning multiple layers of features from tiny images" not in text


@pytest.mark.filterwarnings("ignore:Glyph")  # the font has no Chinese
def test_hostile_names_stay_text_on_the_page(tmp_path):
    methods = [(f"m{index}", name, 0.3, True) for index, name in enumerate(HOSTILE)]
    folder = write_results(tmp_path / "results", methods=methods, bits=(16,), seeds=(0, 1))
    command.write(folder, folder / "report")
    page = Page(folder / "report/index.html")
    assert page.tags.count("script") == 1
    shown = {text.strip() for text in page.text}
    assert set(HOSTILE) <= shown | {text.removesuffix(" ") for text in shown}
    svg = (folder / "report/figures/overview.svg").read_text(encoding="utf-8")
    assert "$x^2$" in svg
    assert "&lt;script&gt;" in svg


def test_every_panel_of_the_overview_shows_its_lines(tmp_path, monkeypatch):
    """Panels share one axis, and the last may have the highest values."""
    folder = write_results(tmp_path / "results", grid=(DIGITS, ("cifar10", "gist")))
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    raised = [
        [*row[:-1], repr(float(row[-1]) + 0.3)] if row[0] == "cifar10" and row[5] == "map" else row
        for row in rows
    ]
    (folder / "metrics.csv").write_text("".join(",".join(row) + "\n" for row in raised))
    describe(folder)
    panels = []

    def stored_canvas(*arguments, **kwargs):
        canvas, axes = plot_style.canvas_of(*arguments, **kwargs)
        panels.extend(axes)
        return canvas, axes

    monkeypatch.setattr(plots, "canvas_of", stored_canvas)
    plots.overview(results.read(folder))
    assert len(panels) == 2
    for axis in panels:
        lowest, highest = axis.get_ylim()
        shown = np.concatenate([np.asarray(line.get_ydata(), float) for line in axis.lines])
        assert lowest == 0
        assert shown.max() <= highest


def test_partial_is_marked_everywhere(tmp_path, undrawn):
    folder = write_results(tmp_path / "results", broken={("itq", 16, 0): "missing"})
    command.write(folder, folder / "report", partial=True)
    page = Page(folder / "report/index.html")
    assert " 19 of 20 runs are done. Cells without all their seeds are marked." in page.text
    assert "#failures" not in page.links  # nothing failed, so there is no such section
    texts = [path.read_text(encoding="utf-8") for path in (folder / "report/tables").glob("*.tex")]
    assert texts
    assert all("Partial: 19 of 20 runs are done." in text for text in texts)


def test_an_experiment_without_results(tmp_path):
    everything = {
        (name, bits, seed): "missing" for name, *_ in METHODS for bits in (16, 32) for seed in SEEDS
    }
    folder = write_results(
        tmp_path / "results", broken=everything, datasets={"digits": dataset_relations("digits")}
    )
    experiment = described(folder)
    experiment["features"]["digits/pixels"]["dimensions"] = None
    for name in ("metrics", "statistics", "comparisons"):
        write_csv(folder / f"{name}.csv", getattr(schemas, f"{name.upper()}_CSV"), [])
    describe(folder, experiment)
    command.write(folder, folder / "report", partial=True)
    text = " ".join(Page(folder / "report/index.html").text)
    assert "Of 20 runs: 0 done, 20 missing." in text
    assert "the data set is not prepared" in text
    assert "No run is scored" in text


def test_the_same_results_make_the_same_bytes(complete, tmp_path):
    shutil.copytree(complete.parent, tmp_path / "results")
    command.write(tmp_path / "results", tmp_path / "results/report")
    files = [path.relative_to(complete) for path in complete.rglob("*") if path.is_file()]
    files = [
        file for file in files if file.name not in ("index.html", "report.json")
    ]  # those have times
    assert len(files) > 20
    for file in files:
        assert (complete / file).read_bytes() == (
            tmp_path / "results/report" / file
        ).read_bytes(), file


def test_report_json_has_the_digests_of_its_inputs(complete, tmp_path, undrawn):
    record = records.read(complete / "report.json")
    digest = storage.digest(complete.parent / "experiment.json")
    assert record["made_of"] == json.loads(
        json.dumps(records.of_report({"experiment.json": digest}))
    )
    sources = set(record["made_of"]["sources"])
    assert {
        "report/tables/build.py",
        "report/tables.yaml",
        "report/templates/page.html.j2",
        "report/published_values.csv",
    } <= sources
    assert not any("__pycache__" in source for source in sources)

    folder = write_results(tmp_path / "results", date="2026-01-03T03:04:05+00:00")
    command.write(folder, folder / "report")
    other = records.read(folder / "report/report.json")["made_of"]
    assert other["sources"] == record["made_of"]["sources"]
    assert other["records"] != record["made_of"]["records"]


def _luminance(colour):
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [
        value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    ]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("colour", [*plot_style.COLOURS, plot_style.QUANTISER_COLOUR])
def test_lines_stand_out_on_light_and_on_dark(colour):
    dark = re.search(
        r"prefers-color-scheme: dark.*?--page: (#\w+)",
        (ROOT / "report/templates/style.css").read_text(),
        re.DOTALL,
    )
    for page in ("#ffffff", dark[1]):
        low, high = sorted((_luminance(colour), _luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11


# Training


def test_training_is_shown_on_the_page(complete):
    page = Page(complete / "index.html")
    assert {
        "training",
        "figure-training--digits--pixels--lsh",
        "figure-training--cifar10--vgg19_fc7--lsh",
    } <= set(page.ids)
    text = " ".join("".join(page.text).split())
    assert "Training of LSH: Digits, Pixels" in text
    assert "Quantities recorded during training, mean of each epoch (32 bits, seed 0)." in text
    assert (
        text.count(
            "training images; rebuilt from their binary codes; from random codes. 32 bits, seed 0"
        )
        == 1
    )
    assert text.count("training images; rebuilt from their binary codes. 32 bits, seed 0") == 1
    assert text.count("<a & b>") == 2  # a panel of each
    assert sum(address.startswith("data:image/png") for address in page.loaded) == 2
    for suffix in ("svg", "pdf"):
        assert (complete / f"figures/training--digits--pixels--lsh.{suffix}").is_file()


def test_the_strip_holds_the_images_enlarged(tmp_path):
    folder = write_results(tmp_path)
    arrays = write_extras(folder, "bgan")
    (shown,) = training_curves.draw(results.read(folder))
    pixels = picture(shown.strip)
    side = 8 * 8
    assert pixels.shape == (3 * side + 2 * 4, 8 * side + 7 * 4, 4)
    for row, name in enumerate(("originals", "rebuilt", "sampled")):
        for index in range(8):
            top, left = row * (side + 4), index * (side + 4)
            expected = np.kron(arrays[name][index], np.ones((8, 8, 1), dtype=np.uint8))
            np.testing.assert_array_equal(
                pixels[top : top + side, left : left + side, :3], expected
            )
    assert (pixels[..., 3] == 0).sum() == pixels[
        ..., 3
    ].size - 24 * side * side  # what is between them is transparent
    assert picture(
        training_curves._data_uri(training_curves._strip([np.zeros((2, 224, 224, 3), np.uint8)]))
    ).shape == (56, 2 * 56 + 4, 4)


def test_the_run_shown_is_the_first_done_seed_of_the_longest_codes(tmp_path):
    folder = write_results(tmp_path, broken={("itq", 32, 0): "failed"})
    for seed in SEEDS:
        write_extras(folder, "itq", seed=seed)
        write_extras(folder, "bgan", bits=16, seed=seed)
    assert [(shown.title, shown.note) for shown in training_curves.draw(results.read(folder))] == [
        ("Training of ITQ: Digits, Pixels", "32 bits, seed 1")
    ]


@pytest.mark.parametrize(
    ("absent", "curves", "rows"),
    [
        (["curves", "curve_names"], False, 3),
        (["originals", "sampled"], True, 1),
        (["originals", "rebuilt", "sampled"], True, 0),
    ],
)
def test_every_array_is_optional(tmp_path, absent, curves, rows):
    folder = write_results(tmp_path)
    write_extras(folder, "bgan", **dict.fromkeys(absent))
    (shown,) = training_curves.draw(results.read(folder))
    assert (shown.curves is not None, len(shown.rows), bool(shown.strip)) == (
        curves,
        rows,
        rows > 0,
    )


def test_a_run_without_extras_has_no_section(plain):
    assert "training" not in Page(plain / "index.html").ids


def test_many_trainings_fit_on_the_page(tmp_path, monkeypatch):
    methods = [(f"m{index}", f"M{index}", 0.3, True) for index in range(15)]
    for grid, shown in (((DIGITS,), 12), ((DIGITS, ("cifar10", "gist")), 18)):
        folder = write_results(
            tmp_path / str(shown), methods=methods, grid=grid, bits=(16,), seeds=(0,)
        )
        for pair in grid:
            for name, *_ in reversed(methods):
                write_extras(folder, name, pair=pair, bits=16, curves=None, curve_names=None)
        trainings = training_curves.draw(results.read(folder))
        assert len(trainings) == shown
        assert [item.title for item in trainings[:2]] == [
            "Training of M0: Digits, Pixels",
            "Training of M1: Digits, Pixels",
        ]
    noise = np.random.default_rng(0).integers(
        0, 256, (16, 32, 32, 3), dtype=np.uint8
    )  # nothing packs worse
    names = np.array(
        [
            "neighbourhood",
            "quantisation",
            "pixel",
            "perceptual",
            "adversarial",
            "bits on",
            "saturated",
        ]
    )
    curves = np.random.default_rng(0).random((50, 7)).astype(np.float32)
    write_extras(
        folder,
        "m0",
        bits=16,
        curves=curves,
        curve_names=names,
        **dict.fromkeys(training_curves.PICTURES, noise),
    )
    largest = training_curves.draw(results.read(folder))[0]
    assert training_curves.SECTIONS * (len(largest.strip) + len(largest.curves.inline)) < 4e6


def test_an_extras_file_damaged_anywhere_is_read_or_one_error(tmp_path):
    folder = write_results(tmp_path)
    write_extras(folder, "bgan")
    (path,) = folder.rglob("extras.npz")
    whole, random, errors = path.read_bytes(), np.random.default_rng(0), 0
    directory = len(whole) - 700  # the entries of the archive, where a byte does most
    for index in [
        *random.integers(0, len(whole), 150),
        *random.integers(directory, len(whole), 150),
    ]:
        damaged = bytearray(whole)
        damaged[index] ^= random.integers(1, 256)
        path.write_bytes(damaged)
        try:
            training_curves._read(path)
        except BenchmarkError:  # any other error fails
            errors += 1
    assert errors > 100


# Inputs, outputs, harness


def _cut(folder):
    (path,) = folder.rglob("extras.npz")
    path.write_bytes(path.read_bytes()[:-100])


def _replaced(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    if path.suffix == ".csv":
        describe(path.parent)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "metrics.csv").unlink(), "metrics.csv does not exist"),
        (
            lambda folder: _replaced(folder / "metrics.csv", "variant", "method"),
            "metrics.csv lacks the columns variant",
        ),
        (
            lambda folder: _replaced(folder / "metrics.csv", "map,,0.62", "map,,nan"),
            "value 'nan' for map of exact-cosine",
        ),
        (
            lambda folder: _replaced(folder / "metrics.csv", "map,,0.62", "map,,high"),
            "value 'high' for map",
        ),
        (
            lambda folder: _replaced(
                folder / "metrics.csv", "exact-l2,0,0,map,", "exact-cosine,0,0,map,"
            ),
            "two values for map of exact-cosine",
        ),
        (
            lambda folder: _replaced(folder / "comparisons.csv", ",no,", ",nil,"),
            "comparisons.csv has 'nil' as `significant`, expected one",
        ),
        (lambda folder: (folder / "statistics.csv").unlink(), "statistics.csv does not exist"),
        (
            lambda folder: _replaced(folder / "runs.csv", "status", "state"),
            "runs.csv lacks the columns status",
        ),
        (
            lambda folder: _replaced(folder / "experiment.json", '"grid"', '"pairs"'),
            "experiment.json has no key grid",
        ),
        (
            lambda folder: _replaced(folder / "experiment.json", "{", ""),
            "experiment.json is not valid JSON",
        ),
        (
            lambda folder: _replaced(folder / "experiment.json", "song2018binary", "song2099"),
            "references.bib has no entry 'song2099'",
        ),
        (
            lambda folder: write_extras(folder, "bgan", curve_names=None),
            "extras.npz has curves float32 (20, 2) and curve_names",
        ),
        (
            lambda folder: write_extras(
                folder, "bgan", curves=np.full((20, 2), np.nan, np.float32)
            ),
            "expected finite float32 (epochs, n)",
        ),
        (
            lambda folder: write_extras(folder, "bgan", curves=np.empty((0, 2), np.float32)),
            "curves float32 (0, 2)",
        ),
        (
            lambda folder: write_extras(folder, "bgan", curve_names=np.array([1, 2])),
            "curve_names int64 (2,), expected",
        ),
        (
            lambda folder: write_extras(folder, "bgan", rebuilt=np.zeros((10, 9, 8, 3), np.uint8)),
            "rebuilt uint8 (10, 9, 8, 3), expected",
        ),
        (
            lambda folder: write_extras(folder, "bgan", originals=np.zeros((10, 8, 8, 3))),
            "originals float64 (10, 8, 8, 3), expected",
        ),
        (
            lambda folder: write_extras(folder, "bgan", curves=np.array([[print]])),
            "cannot be read (Object arrays cannot be loaded",
        ),
        (
            lambda folder: write_extras(folder, "bgan") and _cut(folder),
            "cannot be read (File is not a zip file): delete the folder of",
        ),
        (
            lambda folder: (folder / "report").mkdir() or (folder / "report/thesis.doc").touch(),
            "has thesis.doc",
        ),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, monkeypatch, undrawn, spoil, message):
    folder = write_results(tmp_path / "results")
    spoil(folder)
    monkeypatch.setattr(sys, "argv", ["report", "--results", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert message in stopped.value.code
    assert "\n" not in stopped.value.code
    assert not (folder / "report/index.html").exists()


@pytest.mark.parametrize("name", schemas.COLLECTED_TABLES)
def test_a_table_that_was_changed_after_it_was_written_is_refused(tmp_path, name):
    folder = write_results(tmp_path)
    results.read(folder)
    with (folder / name).open("a") as file:
        file.write("\n")
    with pytest.raises(
        BenchmarkError,
        match=rf"{name} was changed after it was written: .*: "
        r"delete it and rerun the `snakemake` command",
    ):
        results.read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": 1},
            "experiment.json has format 1, expected 2: an earlier version of bgan-bench wrote it",
        ),
        (
            {"format": 3},
            "experiment.json has format 3, expected 2: another version of bgan-bench wrote it",
        ),
    ],
)
def test_results_of_another_format_are_refused_in_one_line(tmp_path, monkeypatch, changes, message):
    folder = describe(
        write_results(tmp_path / "results"), described(tmp_path / "results") | changes
    )
    monkeypatch.setattr(sys, "argv", ["report", "--results", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert message in stopped.value.code
    assert "\n" not in stopped.value.code
    assert not (folder / "report").exists()


# The list of experiments


def test_the_list_of_experiments_has_a_link_to_each_report(tmp_path, monkeypatch, undrawn):
    monkeypatch.chdir(tmp_path)
    names = {"ablations": ["config/ablations.yaml"], "own+paper": ["own.yaml", "config/paper.yaml"]}
    for name, files in names.items():
        folder = write_results(EXPERIMENTS / name, name=name, configfiles=files)
        command.write(folder, folder / "report")
    write_results(EXPERIMENTS / "unreported", name="unreported")
    command.write(
        write_results(EXPERIMENTS / "ablations/partial"),
        EXPERIMENTS / "ablations/partial/report",
        partial=True,
    )

    monkeypatch.setattr(sys, "argv", ["report", "--experiments"])
    command.main()
    page = Page(EXPERIMENTS / "index.html")
    assert not page.loaded
    assert page.links == [
        "../report/index.html",
        "ablations/report/index.html",
        "own%2Bpaper/report/index.html",
    ]
    for link in page.links[1:]:
        assert (EXPERIMENTS / unquote(link)).is_file()
    shown = " ".join(" ".join(page.text).split())
    assert "ablations Digits 4 16, 32 3 2026-01-02 config/ablations.yaml" in shown
    assert "own.yaml config/paper.yaml" in shown
    assert "unreported" not in shown


def test_hostile_names_stay_text_in_the_list_of_experiments(tmp_path, monkeypatch, undrawn):
    monkeypatch.chdir(tmp_path)
    datasets = {"digits": dataset_facts("digits") | {"label": HOSTILE[0]}}
    folder = write_results(
        EXPERIMENTS / "odd", name="odd", configfiles=[HOSTILE[1]], datasets=datasets
    )
    command.write(folder, folder / "report")
    experiment_list.write(EXPERIMENTS)
    page = Page(EXPERIMENTS / "index.html")
    assert "script" not in page.tags
    assert {HOSTILE[0], HOSTILE[1]} <= set(page.text)


def test_an_experiment_of_another_format_is_an_error_in_the_list(tmp_path, monkeypatch, undrawn):
    monkeypatch.chdir(tmp_path)
    folder = write_results(EXPERIMENTS / "old", name="old")
    command.write(folder, folder / "report")
    describe(folder, described(folder) | {"format": 1})
    with pytest.raises(BenchmarkError, match=r"old/experiment\.json has format 1, expected 2"):
        experiment_list.write(EXPERIMENTS)


# Versions and processors


def test_seeds_of_a_cell_that_were_run_on_different_machines_are_noted(tmp_path):
    folder = write_results(tmp_path)
    assert not any(
        "Seeds of one cell" in note for table in built(folder).values() for note in table.notes
    )

    def change(run):
        second = run["seed"] == "1"
        if run["variant"] == "itq" and second:
            return {
                "versions": json.dumps({"python": "3.11.7", "torch": "2.14.0", "numpy": "2.4.0"})
            }  # the others have no numpy
        if (run["variant"], run["bits"]) == ("bgan", "32") and second:
            return {"processor": "B processor"}
        return {"processor": "C processor"} if run["variant"] == "lsh" else {}  # all seeds alike

    change_runs(folder, change)
    tables = built(folder)
    start = "Seeds of one cell were run with different versions or on different processors: "
    itq = "torch 2.13.0 and 2.14.0 (ITQ, 16 bits, Digits, Pixels; ITQ, 32 bits, Digits, Pixels)"
    sentence = (
        f"{start}{itq}; processors A processor and B processor (BGAN, 32 bits, Digits, Pixels)."
    )
    for name in ("map", "map-at-1000", "precision-at-k--digits--pixels", "costs", "conventions"):
        assert [note for note in tables[name].notes if note.startswith(start)] == [sentence], name
    assert "torch 2.13.0 and 2.14.0" in latex.render(tables["map"], [])


def test_many_cells_of_different_machines_are_counted_and_missing_runs_are_not_compared(tmp_path):
    broken = {("lsh", 16, 2): "failed", ("bgan", 16, 0): "missing", ("bgan", 16, 1): "missing"}
    folder = write_results(tmp_path, broken=broken)
    change_runs(
        folder,
        lambda run: {"processor": f"{run['seed']} processor"} if run["status"] == "done" else {},
    )
    (note,) = [note for note in built(folder)["map"].notes if "Seeds of one cell" in note]
    assert note.endswith(
        ": processors 0 processor and 1 processor (LSH, 16 bits, Digits, Pixels);"
        " processors 0 processor, 1 processor and 2 processor (4 cells)."
    )


def test_partial_results_are_a_folder_of_their_own(tmp_path, monkeypatch, undrawn):
    monkeypatch.chdir(tmp_path)
    write_results(tmp_path / "results/partial")
    monkeypatch.setattr(sys, "argv", ["report", "--partial"])
    command.main()
    assert (tmp_path / "results/partial/report/index.html").is_file()
    assert (tmp_path / "results/partial/metrics.csv").is_file()


def test_every_entry_of_the_bibliography_is_read():
    path = references.BIBLIOGRAPHY
    entries = references.read()
    assert len(entries) == path.read_text(encoding="utf-8").count("@")
    assert all(
        entry.authors and entry.title and entry.year and entry.venue for entry in entries.values()
    )
    assert entries["song2018binary"].authors.startswith("Jingkuan Song, Tao He")
    listed = references.cited(
        ["holm1979simple", "wang2010semi", "song2018binary", "charikar2002similarity"], entries
    )
    assert [entry.authors.split(",")[0] for entry in listed] == [
        "Moses S. Charikar",
        "Sture Holm",
        "Jingkuan Song",
        "Jun Wang",
    ]
    assert entries["song2018binary"].link == "https://doi.org/10.1609/aaai.v32i1.11276"


# Many methods


N_METHODS = results.MOST_SHOWN + 5


@pytest.fixture(scope="module")
def long_report(tmp_path_factory):
    """A report of many methods, the first of which are the worst."""
    folder = tmp_path_factory.mktemp("many")
    methods = [(f"m{i}", f"Method {i}", 0.2 + 0.01 * i, False) for i in range(N_METHODS)]
    balance = {"title": "Bit balance", "fact": "bit_balance"}
    figures = [
        {"name": "all", **balance},
        {"name": "worst", "select": {"methods": ["m0"]}, **balance},
    ]
    write_results(folder / "results", methods=methods, bits=(16,), figures=figures)
    command.write(folder / "results", folder / "report")
    return folder / "report"


class TestManyMethods:
    def rows(self, report, table):
        page = (report / "index.html").read_text()
        section = page.split(f'id="table-{table}"')[1].split("</section>")[0]
        return set(re.findall(r'data-words="Method \d+ (m\d+)"', section))

    def test_the_table_of_map_has_all_methods_and_the_others_the_best(self, long_report):
        best = {f"m{i}" for i in range(5, N_METHODS)}
        assert self.rows(long_report, "map") == best | {f"m{i}" for i in range(5)}
        assert self.rows(long_report, "map-at-1000") == best
        assert (
            len(rows_of(long_report / "tables/map-at-1000.csv")) == N_METHODS + 2
        )  # with the controls

    def test_figures_draw_the_best_methods(self, long_report):
        names = {row["method"] for row in rows_of(long_report / "figures/overview.csv")}
        assert {f"m{i}" for i in range(5, N_METHODS)} <= names
        assert not names & {f"m{i}" for i in range(5)}

    def test_every_figure_states_that_it_draws_some_methods_only(self, long_report):
        page = (long_report / "index.html").read_text()
        captions = re.findall(r'<figcaption class="caption">(.*?)</figcaption>', page)
        sentence = f"Of {N_METHODS} methods, the {results.MOST_SHOWN} with the highest mAP"
        stated = [sentence in text for text in captions]
        assert stated == [True] * (len(stated) - 1) + [False], "the last one selects its methods"
        assert len(stated) > 1

    def test_a_figure_draws_every_method_that_it_selects(self, long_report):
        (row,) = rows_of(long_report / "figures/worst.csv")
        assert row["method"] == "m0"

    def test_the_page_lists_the_runs_of_the_best_methods(self, long_report):
        page = (long_report / "index.html").read_text()
        runs = page.split('id="runs-table"')[1]
        assert len(re.findall(r'<tr class="done"', runs)) == results.MOST_SHOWN
        assert 'data-run="digits/pixels/m0/' not in page
