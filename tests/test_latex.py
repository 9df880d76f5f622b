"""The tables as LaTeX: what is written, and that pdflatex sets it as it is pasted."""

import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from builders import DIGITS, HOSTILE, built, write_results
from hypothesis import given
from hypothesis import strategies as st

from harness.plugins import ROOT
from report import latex_text, results
from report.latex_text import escape
from report.tables import build
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import Value
from report.writers import latex, latex_layout

GOLDEN = Path(__file__).with_name("golden")
CLASSES = {
    "one column": r"\documentclass{article}",
    "two columns": r"\documentclass[twocolumn]{article}",
}


def compiled(folder, source, name="paper", times=1):
    """Compile a document; returns its text and the log. Skips where a program is absent."""
    if not shutil.which("pdflatex") or not shutil.which("pdftotext"):
        pytest.skip(
            "needs pdflatex and pdftotext "
            "(Debian: texlive-latex-base, texlive-latex-recommended, poppler-utils)"
        )
    (folder / f"{name}.tex").write_text(source, encoding="utf-8")
    job = [
        "pdflatex",
        "-interaction=nonstopmode",
        "-halt-on-error",
        "-no-shell-escape",
        f"{name}.tex",
    ]
    for _ in range(times):
        done = subprocess.run(
            job, cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]
    text = subprocess.run(
        ["pdftotext", "-layout", f"{name}.pdf", "-"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return text, done.stdout


def pasted(folder, source, document):
    """Return the text of a document with only this table, which must fit the page and column."""
    text, log = compiled(
        folder,
        "\n".join(
            [document, r"\usepackage{booktabs}\begin{document}", source, r"\end{document}", ""]
        ),
    )
    assert "Overfull \\hbox" not in log
    assert "Float too large" not in log
    return text


def experiment_of_two_data_sets(folder):
    """A failed, a missing, an incomplete and a nearly collapsed cell."""
    broken = {
        ("itq", 32, 1): "failed",
        ("bgan", 32, 0): "failed",
        ("bgan", 32, 1): "missing",
        ("bgan", 32, 2): "missing",
    }
    return write_results(
        folder, grid=(DIGITS, ("cifar10", "vgg19_fc7")), broken=broken, distinct={("lsh", 16, 0): 3}
    )


def ablations(folder):
    """As many rows as config/ablations.yaml has, with their labels, and a long tuned one."""
    known = yaml.safe_load((ROOT / "config/variants.yaml").read_text(encoding="utf-8"))
    names = {
        name: entry["label"]
        for name, entry in known["variants"]["methods"].items()
        if "label" in entry
    }
    names |= {
        f"{name}.as-bgan-digits": f"{label} (BGAN's tuning)"
        for name, label in names.items()
        if "adversarial" in name
    }
    return write_results(
        folder,
        methods=[("bgan", "BGAN", 0.5, True), *((*pair, 0.5, True) for pair in names.items())],
        bits=(12, 24, 32, 48),
    )


@pytest.mark.parametrize("document", CLASSES.values(), ids=CLASSES)
def test_every_table_compiles_as_pasted_and_fits(tmp_path, document):
    tables = built(experiment_of_two_data_sets(tmp_path))
    shown = {
        name: pasted(tmp_path, latex.render(table, []), document)
        for name, table in tables.items()
        if table.panels
    }
    assert len(shown) == 16
    assert "failed 1/3" in shown["map"]
    assert "c 1/3" in shown["map"]
    assert "Exact Euclidean" in shown["map"]
    assert "Commit 0123456789ab" in re.sub(r"\s+", " ", shown["costs"])


@pytest.mark.parametrize("document", CLASSES.values(), ids=CLASSES)
def test_tables_of_many_methods_are_cut_into_parts_that_fit(tmp_path, document):
    tables = built(ablations(tmp_path))
    for name in ("map", "conventions", "precision-at-k--digits--pixels", "loss-components"):
        source = latex.render(tables[name], [])
        text = pasted(tmp_path, source, document)
        assert len(re.findall(r"Table 1: ", text)) == source.count(r"\begin{tabular}")
        for row in tables[name].panels[-1].rows:
            assert row.label.split()[-1] in text


def test_a_part_repeats_no_row_and_loses_none(tmp_path):
    table = built(ablations(tmp_path))["conventions"]
    chosen = latex_layout.first_fitting(table)
    blocks = latex_layout._blocks(table, chosen)
    assert [column.label for block in blocks for column in block.columns] == [
        column.label for column in table.columns
    ]
    pages = latex_layout._pages(blocks[0], chosen, True)
    assert len(pages) > 2
    shown = [
        (panel.bits, row.name) for page in pages for panel in page.panels for row in panel.rows
    ]
    assert shown == [(panel.bits, row.name) for panel in table.panels for row in panel.rows]


def synthetic(columns, text="0.500", label="ITQ", rows=1, span=None):
    """A table of so many columns, the last row a control that may span them all."""
    value = Value(metric="map")
    methods = [Row(f"m{index}", label, [Cell(text)] * columns) for index in range(rows)]
    controls = [Row("exact", "Exact", [Cell("0.6", span=columns)])] if span else []
    panel = Panel("Digits", results.Pair("digits", "pixels"), None, methods, controls)
    return Table(
        "t",
        "T",
        "T.",
        "N.",
        [],
        [Column(value, index, None, f"{index} bits") for index in range(columns)],
        [panel],
    )


def test_a_table_takes_the_narrowest_width_that_it_fits():
    chosen = [latex_layout.first_fitting(synthetic(columns)) for columns in (2, 7, 14)]
    assert [(layout.environment, layout.columns) for layout in chosen] == [
        ("table", 2),
        ("table*", 7),
        ("table*", 7),
    ]
    assert (
        latex_layout.first_fitting(synthetic(5, label="BGAN: " + "a very long name " * 4)).label
        == latex_layout.LABEL
    )
    assert r"\multicolumn{7}{c}{0.6}" in latex.render(synthetic(14, span=True), [])


@pytest.mark.parametrize(
    "label",
    ["a_name_without_a_space_" * 3, "DeepBinary" * 7, "short, then " + "caf\u00e9\u03b7_" * 12],
)
def test_a_long_word_of_a_label_is_broken_within_its_column(tmp_path, label):
    methods = [("long", label, 0.5, True), ("itq", "ITQ", 0.4, True)]
    text = pasted(
        tmp_path,
        latex.render(built(write_results(tmp_path, methods=methods))["conventions"], []),
        CLASSES["one column"],
    )
    assert label[:12].split("_")[0] in text


def test_a_table_too_long_for_a_column_with_its_notes_is_whole_across_both():
    for notes, environment in (([], "table"), (["word " * 200], "table*")):
        table = replace(synthetic(2, rows=34), notes=notes)
        chosen = latex_layout.first_fitting(table)
        assert (chosen.environment, len(latex_layout.parts(table, chosen))) == (environment, 1)
    assert latex_layout.first_fitting(synthetic(2, rows=200)).environment == "table", (
        "whole nowhere, so as narrow as it can be"
    )


def test_a_deviation_below_what_is_printed_is_text_too():
    """Significant digits end at a thousandth; a bare < would be an inverted exclamation mark."""
    value = Value(fact="fit_seconds", significant=2)
    source = latex._cell(Cell("0.012", deviation=value.printed(0.0004)), latex_layout.SMALL)
    assert source == r"0.012{\scriptsize$\,\pm\,$\textless{}0.001}"


@pytest.mark.parametrize("points", latex_text.WIDER)
def test_widths_are_those_of_the_fonts_or_a_little_more(tmp_path, points):
    """TeX itself measures; what is printed is digits and labels."""
    texts = [
        "0123456789",
        "0.764",
        "Exact Euclidean",
        "BGAN: D sees generations from noise",
        "LSH",
        "trec_eval",
        "Landmarks",
        "[0.731, 0.796]",
    ]
    sizes = {9: r"\small", 8: r"\footnotesize", 7: r"\scriptsize", 5: r"\tiny"}
    boxes = [
        rf"\setbox0\hbox{{{sizes[points]} {escape(text)}}}\typeout{{WIDTH \the\wd0}}"
        for text in texts
    ]
    _, log = compiled(
        tmp_path, r"\documentclass{article}\begin{document}x" + "\n".join(boxes) + r"\end{document}"
    )
    for text, measured in zip(texts, re.findall(r"WIDTH ([\d.]+)pt", log), strict=True):
        assert 0.99 * float(measured) <= latex_text.width(text, points) <= 1.25 * float(measured), (
            text
        )


def test_the_report_holds_every_table_and_compiles(tmp_path):
    tables = built(experiment_of_two_data_sets(tmp_path))
    shown = [table for table in tables.values() if table.panels]
    (tmp_path / "tables").mkdir()
    for table in shown:
        (tmp_path / f"tables/{table.name}.tex").write_text(
            latex.render(table, []), encoding="utf-8"
        )
    source = latex.render_report(
        "Results of a_b",
        ["100 % & more.", "Second."],
        shown,
        [],
        ["song2018binary"],
        "Commit 01, 2026-01-02",
    )
    text, _ = compiled(tmp_path, source, times=2)
    flat = re.sub(r"\s+", " ", text)
    assert "Results of a b" in flat  # a rule, to pdftotext
    assert "100 % & more." in flat
    for table in shown:
        assert table.title.split(":")[0] in flat


@pytest.mark.parametrize(
    "name", ["map", "costs", "loss-components", "precision-at-k--digits--pixels"]
)
def test_a_table_is_the_golden_one(tmp_path, name):
    """If a change is intended, write the new text into tests/golden/ and review the difference."""
    folder = write_results(
        tmp_path,
        methods=[
            ("itq", "ITQ", 0.4, True),
            ("bgan", "BGAN", 0.5, True),
            ("bgan-n", "BGAN: N", 0.5, True),
            ("bgan-nc", "N & C_1", 0.5, True),
        ],
        map_of=lambda variant, bits, seed: (
            {"itq": 0.4, "bgan": 0.5 + seed / 100, "bgan-n": 0.51, "bgan-nc": 0.2}[variant]
            + bits / 1000
        ),
        broken={("bgan-nc", 32, 2): "failed"},
        distinct={("itq", 16, 1): 3},
    )
    assert latex.render(built(folder)[name], ["song2018binary"]) == (
        GOLDEN / f"{name}.tex"
    ).read_text(encoding="utf-8")


def test_the_latex_of_a_cell(tmp_path):
    values = {
        "lsh": [0.1, 0.2, 0.3],
        "pcah": [0.35],
        "itq": [0.4, 0.4, 0.43],
        "bgan": [0.4, 0.4, 0.4],
    }
    folder = write_results(
        tmp_path,
        map_of=lambda name, bits, seed: values[name][seed],
        broken={("lsh", 32, 0): "missing"},
    )
    lines = latex.render(built(folder)["map"], ["gong2011iterative"]).splitlines()
    assert (
        r"LSH & 0.200{\scriptsize$\,\pm\,$0.100} & "
        r"0.250{\scriptsize$\,\pm\,$0.071}\textsuperscript{2/3} \\" in lines
    )
    assert r"PCAH & 0.350 & 0.350 \\" in lines
    assert (
        r"ITQ & \textbf{0.410}{\scriptsize$\,\pm\,$0.017} & "
        r"\textbf{0.410}{\scriptsize$\,\pm\,$0.017} \\" in lines
    )
    assert r"Exact cosine & \multicolumn{2}{c}{0.620} \\" in lines
    assert r"\begin{tabular}{lcc}" in lines


def test_a_label_that_pdflatex_cannot_print_is_the_name_of_its_row(tmp_path):
    methods = [
        ("mine", "\u041f\u0440\u0438\u0432\u0435\u0442", 0.5, True),
        ("eta", "\u03b7 & caf\u00e9", 0.4, True),
    ]
    source = latex.render(built(write_results(tmp_path, methods=methods))["map"], [])
    assert "\nmine & " in source
    assert "\n$\\eta$ \\& caf\\'{e} & " in source
    assert "U+" not in source


def test_every_part_of_a_table_has_a_unique_hyperref_name(tmp_path):
    """A repeated identifier causes a warning, and links lead to the first part of the table."""
    methods = [(f"m{index}", f"Method {index}", 0.3, True) for index in range(120)]
    source = latex.render(built(write_results(tmp_path, methods=methods))["map"], [])
    assert source.count("(continued)") > 1
    document = [
        CLASSES["one column"],
        r"\usepackage{booktabs,hyperref}\begin{document}",
        source,
        r"\end{document}",
        "",
    ]
    text, log = compiled(tmp_path, "\n".join(document), times=2)
    assert "same identifier" not in log
    assert "Table 1: Mean average precision (continued)" in text


def test_hostile_names_stay_text_in_latex(tmp_path):
    document = [
        CLASSES["one column"],
        r"\begin{document}",
        *(escape(name) + "\n\n" for name in HOSTILE),
        r"\end{document}",
    ]
    text, _ = compiled(tmp_path, "\n".join(document))
    for expected in (
        "<script>alert(1)</script>",
        "50%",
        "#1",
        "\\input{/etc/passwd}",
        "[best]",
        "*star*",
        "|bar|",
        "a--b",
        "[U+6F22]",
    ):
        assert expected in text
    letters = unicodedata.normalize("NFKC", text)  # the PDF's Omega is the unit of resistance
    assert {"Ω", "Λ", "β", "ς"} <= set(letters)


@given(st.text(max_size=40))
def test_escaped_text_has_no_active_character(text):
    left = re.sub(
        r"\\[a-zA-Z]+(\{\})?|\\.", "", escape(text)
    )  # commands and escaped characters are fine
    left = re.sub(r"(?<=\S)~|~", "", left) if "\u00a0" in text else left
    assert not set(left) & set("#%&_^~\\")
    assert left.isascii()
    assert escape(text).count("$") % 2 == text.count("$") % 2


@given(st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_escaping_balances_braces(text):
    plain = escape(text).replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")


def test_hostile_names_and_captions_stay_text_in_tables(tmp_path):
    methods = [(f"m{index}", name, 0.3, True) for index, name in enumerate(HOSTILE)]
    tables = built(write_results(tmp_path, methods=methods, bits=(16,), seeds=(0, 1)))
    caption = " ".join(HOSTILE)
    for name in ("map", "precision-at-k--digits--pixels", "costs"):
        text = pasted(
            tmp_path,
            latex.render(replace(tables[name], note=caption, caption=HOSTILE[1]), []),
            CLASSES["one column"],
        )
        assert "50%" in text
        assert "/etc/passwd" in text


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(1, 4))
def test_bold_is_on_the_printed_maximum_and_on_all_that_tie_with_it(numbers, decimals):
    value = Value(metric="map", decimals=decimals)
    rows = build._with_best(
        [
            Row(str(index), "m", [Cell(value.printed(number))])
            for index, number in enumerate(numbers)
        ]
    )
    source = latex.body(
        1,
        Panel("p", DIGITS, None, rows, []),
        latex_layout.Layout(False, latex_layout.SMALL, None, 1),
    )
    bold = re.findall(r"\\textbf\{([\d.]+)\}", source)
    assert bold == [
        row.cells[0].text
        for row in rows
        if row.cells[0].text == max(row.cells[0].text for row in rows)
    ]


def test_one_method_alone_is_the_best_of_nothing(tmp_path):
    tables = built(write_results(tmp_path, methods=[("itq", "ITQ", 0.4, True)]))
    assert not any(cell.best for row in tables["map"].panels[0].rows for cell in row.cells)
