"""The report against a small synthetic experiment whose every number is made here."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import unicodedata
from decimal import ROUND_HALF_EVEN, Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import BenchmarkError
from report import __main__ as command
from report import declarations, figures, harness, latex, references, results, summary, tables
from report.declarations import Value
from report.latex_text import escape
from report.model import Cell, Row

METHODS = [("lsh", "LSH", 0.25, True), ("pcah", "PCAH", 0.35, False), ("itq", "ITQ", 0.45, True), ("bgan", "BGAN", 0.5, True)]
CITATIONS = {"lsh": "charikar2002similarity", "pcah": "wang2010semi", "itq": "gong2011iterative", "bgan": "song2018binary"}
SIZES = {"digits": (300, 1497), "cifar10": (1000, 59000)}
METRIC_COLUMNS = ["dataset", "features", "variant", "bits", "seed", "metric", "k", "value"]
RUN_COLUMNS = [
    *("dataset", "features", "variant", "bits", "seed", "status", "message", "method", "label", "citation", "keywords", "fit_seconds"),
    *("encode_seconds", "peak_memory_mib", "items", "distinct_codes", "bit_balance", "device", "threads", "commit", "dirty", "date"),
    *("codes_sha256", "folder"),
]
DONE = {
    "status": "done", "peak_memory_mib": "312.5", "items": "1797", "distinct_codes": "1500", "bit_balance": "0.45", "device": "cpu",
    "threads": "1", "commit": "0123456789abcdef0123", "dirty": "False", "date": "2026-01-02T03:04:05+00:00", "codes_sha256": "ab" * 32,
}  # fmt: skip
SEEDS = (0, 1, 2)
DIGITS = results.Pair("digits", "pixels")


def write_results(folder, *, methods=METHODS, grid=(DIGITS,), bits=(16, 32), seeds=SEEDS, broken=(), map_of=None, **changes):
    """Write the three inputs of the report into `folder` and return it.

    broken: {(variant, bits, seed): "failed" or "missing"}; map_of: (variant, bits, seed) -> map; changes: keys of experiment.json.
    """
    random = np.random.default_rng(0)
    runs, metrics = [], []
    for dataset, features in grid:
        database = SIZES[dataset][1]
        for name, label, level, stochastic in methods:
            for length, seed in [(length, seed) for length in bits for seed in (seeds if stochastic else [0])]:
                status = dict(broken).get((name, length, seed), "done")
                run = {"dataset": dataset, "features": features, "variant": name, "bits": length, "seed": seed, "label": label}
                runs.append(run | _run_facts(run, status, random))
                if status == "done":
                    value = map_of(name, length, seed) if map_of else level + length / 1000 + random.normal(0, 0.01)
                    metrics += [(dataset, features, name, length, seed, *row) for row in scores(value, length, database)]
        for control, value in (("exact-cosine", 0.62), ("exact-l2", 0.6)):
            metrics += [(dataset, features, control, 0, 0, *row) for row in scores(value, 0, database)]
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "metrics.csv", METRIC_COLUMNS, metrics)
    _write_csv(folder / "runs.csv", RUN_COLUMNS, [[run.get(column, "") for column in RUN_COLUMNS] for run in runs])
    described = experiment(methods, grid, bits, seeds, runs) | changes
    (folder / "experiment.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def _run_facts(run, status, random):
    place = f"{run['dataset']}/{run['features']}/{run['variant']}/{run['bits']}bit/seed{run['seed']}"
    facts = {"status": status, "folder": f"results/runs/{place}", "keywords": '{"iterations": 50}', "method": run["variant"]}
    if status == "failed":
        facts["message"] = "ValueError: loss is not finite at step 40"
    if status == "done":
        facts |= DONE | {
            "fit_seconds": repr(float(random.gamma(2.0) * run["bits"] / 16)),
            "encode_seconds": repr(float(random.gamma(2.0) / 50)),
        }
    return facts


def scores(level, bits, database):
    """Rows (metric, k, value) of one run: a level with curves of a believable shape."""
    rows = [("map", "", level), ("relevant_share", "", 0.1), ("queries_left_out", "", 0)]
    slack = 0.5 / bits if bits else 0.0
    rows += [("map_worst", "", level - slack), ("map_best", "", level + slack)]
    rows += [("map@k[found]", k, min(1.0, level * 1.2)) for k in (1000, 5000) if k <= database]
    rows += [("precision@k", k, level + 0.3 / (1 + np.log10(k))) for k in (1, 10, 50, 100, 500, 1000, 5000) if k <= database]
    ranks = np.unique(np.geomspace(1, database, 40).astype(int))
    share = ranks / database
    precision = 0.1 + (min(level + 0.3, 1) - 0.1) * (1 - share**0.4)
    rows += [("pr_rank_precision", int(k), p) for k, p in zip(ranks, precision, strict=True)]
    rows += [("pr_rank_recall", int(k), min(1.0, 10 * p * s)) for k, p, s in zip(ranks, precision, share, strict=True)]
    for radius in range(bits + 1 if bits else 0):
        ball = radius / bits
        rows += [("pr_recall", radius, ball**2), ("pr_precision", radius, 0.1 + (level + 0.2) * (1 - ball)), ("pr_empty", radius, 0.0)]
    return [(metric, k, repr(float(value))) for metric, k, value in rows]


def experiment(methods, grid, bits, seeds, runs):
    """A complete experiment.json for this grid."""
    small = [pair for pair in grid if SIZES[pair[0]][1] < 5000]
    return {
        "partial": False,
        "date": "2026-01-02T03:04:05+00:00",
        "commit": "0123456789abcdef0123",
        "dirty": False,
        "bits": list(bits),
        "seeds": list(seeds),
        "grid": [list(pair) for pair in grid],
        "datasets": {name: _dataset(name) for name, _ in grid},
        "features": {"/".join(pair): {"label": pair[1].capitalize(), "dimensions": 192, "note": ""} for pair in grid},
        "methods": [_method(name, label, stochastic) for name, label, _, stochastic in methods],
        "controls": [{"name": "exact-cosine", "label": "Exact cosine"}, {"name": "exact-l2", "label": "Exact Euclidean"}],
        "omitted": [
            {"dataset": dataset, "features": features, "metric": metric, "k": 5000, "reason": "the database is too small"}
            for dataset, features in small
            for metric in ("map@k[found]", "precision@k")
        ],
        "queries_left_out": {"/".join(pair): 0 for pair in grid},
        "failures": [_failure(run) for run in runs if run["status"] == "failed"],
        "cost": {"started": None, "cores": 2, "runs_made": 0, "fit_seconds": 0.0, "encode_seconds": 0.0, "score_seconds": 0.0},
    }


def _dataset(name):
    query, database = SIZES[name]
    return {
        "label": name.capitalize(),
        "protocol": "default",
        "citation": "alpaydin1998optical",
        "classes": 10,
        "split_sha256": "cd" * 32,
        "sizes": {"query": query, "database": database, "train": database},
        "rules": [{"rule": "30 queries a class", "source": "ours"}, {"rule": "relevant: same class", "source": "published"}],
    }


def _method(name, label, stochastic):
    known = {"name": name, "label": label, "method": name, "citation": CITATIONS.get(name), "note": ""}
    return known | {"stochastic": stochastic, "keywords": {"iterations": 50}}


def _failure(run):
    identity = {key: run[key] for key in ("dataset", "features", "variant", "bits", "seed")}
    return {"run": identity, "log": run["folder"].replace("results", "logs", 1) + ".log", "message": run["message"]}


def _write_csv(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def built(folder):
    """The tables of a results folder by name."""
    return {table.name: table for table in tables.build(results.read(folder))}


def cells(table, method, panel=0):
    """The cells of a method in one panel of a table."""
    found = table.panels[panel]
    return next(row.cells for row in found.rows + found.controls if row.name == method)


def printed(cell):
    return f"{cell.text} ± {cell.deviation}" if cell.deviation else cell.text


class Page(HTMLParser):
    """What a browser would load, link to and show."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.ids, self.links, self.loaded, self.tags, self.text = [], [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        if tag == "a":
            self.links.append(values["href"])
        else:
            self.loaded += [values[name] for name in ("src", "href", "xlink:href", "data", "srcset") if name in values]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A whole report of two data sets with a failed, a missing and an incomplete cell."""
    folder = tmp_path_factory.mktemp("complete") / "results"
    broken = {("itq", 32, 1): "failed", ("bgan", 32, 0): "failed", ("bgan", 32, 1): "missing", ("bgan", 32, 2): "missing"}
    write_results(folder, grid=(DIGITS, ("cifar10", "vgg19_fc7")), broken=broken)
    command.write(folder, folder / "report")
    return folder / "report"


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are slow, and most tests are of the rest."""
    monkeypatch.setattr(figures, "draw", lambda _: [])


# Cells


def test_mean_and_deviation_of_a_hand_made_column(tmp_path):
    values = {"lsh": [0.1, 0.2, 0.3], "pcah": [0.35], "itq": [0.4, 0.4, 0.43], "bgan": [0.41, 0.41, 0.41]}
    table = built(write_results(tmp_path, map_of=lambda name, bits, seed: values[name][seed]))["map"]
    assert [printed(cells(table, name)[0]) for name in values] == ["0.200 ± 0.100", "0.350", "0.410 ± 0.017", "0.410 ± 0.000"]
    assert [cells(table, name)[0].best for name in values] == [False, False, True, True]  # 0.41 both, as printed


def test_controls_are_set_apart_and_never_best(tmp_path):
    table = built(write_results(tmp_path))["map"]
    control = cells(table, "exact-cosine")
    assert [(cell.text, cell.span, cell.best) for cell in control] == [("0.620", 2, False)]
    assert [row.name for row in table.panels[0].rows] == ["lsh", "pcah", "itq", "bgan"]
    assert all(cells(table, "bgan")[place].best for place in (0, 1))  # although the control is higher
    assert "not upper bounds" in table.caption


def test_cells_without_all_their_runs_say_so(tmp_path):
    broken = {("itq", 16, 2): "missing", ("bgan", 16, 0): "failed", ("bgan", 16, 1): "missing", ("bgan", 16, 2): "missing"}
    broken |= {("pcah", 16, 0): "missing", ("lsh", 32, 0): "failed", ("lsh", 32, 1): "failed", ("lsh", 32, 2): "failed"}
    folder = write_results(tmp_path, broken=broken, map_of=lambda name, bits, seed: {"itq": 0.9}.get(name, 0.3) + seed / 100)
    table = built(folder)["map"]
    itq = cells(table, "itq")[0]
    assert (printed(itq), itq.seeds, itq.best) == ("0.905 ± 0.007", "2/3", False)
    assert cells(table, "lsh")[0].best  # the only complete one
    assert [cells(table, name)[0].text for name in ("bgan", "pcah")] == ["failed 1/3", "missing"]
    assert cells(table, "lsh")[1].text == "failed 3/3"
    assert cells(table, "lsh")[1].detail == "ValueError: loss is not finite at step 40"


def test_a_done_run_without_a_score_is_named(tmp_path):
    folder = write_results(tmp_path)
    lines = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "metrics.csv").write_text("".join(line for line in lines if ",itq,16,1,map," not in line), encoding="utf-8")
    assert cells(built(folder)["map"], "itq")[0].text == "not scored"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(1, 4))
def test_best_is_the_maximum_of_the_printed_numbers(numbers, decimals):
    value = Value(metric="map", decimals=decimals)
    rows = [Row(str(place), "", [Cell(value.printed(number))]) for place, number in enumerate(numbers)]
    exact = [Decimal(number).quantize(Decimal(10) ** -decimals, ROUND_HALF_EVEN) for number in numbers]
    assert [row.cells[0].best for row in tables._with_best(rows)] == [number == max(exact) for number in exact]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_summary_is_numpys_mean_and_deviation(numbers):
    cell = tables._summary([numbers], Value(metric="map"))
    assert cell.number == pytest.approx(np.mean(numbers), abs=1e-12)
    assert cell.spread == pytest.approx(np.std(numbers, ddof=1), abs=1e-7)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0.0"), (0.00031, "<0.001"), (0.0126, "0.013"), (0.96, "0.96"), (5.55, "5.5"), (12.4, "12"), (1234.6, "1,235")],
)
def test_significant_digits(number, text):
    assert Value(fact="fit_seconds", significant=2, decimals=1).printed(number) == text


def test_ranges_facts_and_groups(tmp_path):
    found = built(write_results(tmp_path, map_of=lambda name, bits, seed: 0.5))
    assert cells(found["map-tie-order"], "itq")[0].text == "0.469\N{EN DASH}0.531"
    assert found["resources"].groups == [("Peak memory (MiB)", 2), ("", 1), ("", 1)]
    assert [cell.text for cell in cells(found["resources"], "itq")] == ["312", "312", "1", "cpu"]
    assert cells(found["code-health"], "itq")[0].text == "0.835"  # 1500 of 1797


# Omissions, captions, summary


def test_an_omitted_cut_loses_its_column_or_its_panel_and_is_said(tmp_path):
    found = built(write_results(tmp_path, grid=(DIGITS, ("cifar10", "gist"))))
    assert [panel.label for panel in found["map-at-5000"].panels] == ["Cifar10, Gist"]
    assert "Digits, Pixels, k = 5,000: left out, the database is too small." in found["map-at-5000"].notes
    assert [column.k for column in found["precision-at-k--digits--pixels"].columns] == [1, 10, 50, 100, 500, 1000]
    assert [column.k for column in found["precision-at-k--cifar10--gist"].columns] == [1, 10, 50, 100, 500, 1000, 5000]


def test_a_metric_that_no_data_set_has_makes_no_file(tmp_path, undrawn):
    folder = write_results(tmp_path / "results")
    command.write(folder, folder / "report")
    assert not (folder / "report/tables/map-at-5000.tex").exists()
    page = (folder / "report/index.html").read_text(encoding="utf-8")
    assert "Not available for any data set of this experiment." in page
    assert "k = 5,000: left out, the database is too small." in page


def test_captions_name_definition_protocol_and_provenance(tmp_path):
    table = built(write_results(tmp_path, dirty=True, queries_left_out={"digits/pixels": 2}))["map-at-1000"]
    assert table.caption.startswith("mAP@1,000[found]: average precision over the first 1,000 ranks divided by the number of relevant")
    assert "standard deviation (n \N{MINUS SIGN} 1) over 3 seeds" in table.caption
    assert table.protocol == [
        "Digits, Pixels: protocol default, 300 queries, database of 1,497, 1,497 training images, chance level 0.100, "
        "2 queries without a relevant item left out. Rules of ours: 30 queries a class."
    ]
    assert table.notes == ["Commit 0123456789ab (modified), 2026-01-02. Features: Pixels (192 dimensions)."]


def test_summary_counts_runs_and_compares_intervals(tmp_path):
    values = {"lsh": [0.1] * 3, "pcah": [0.44], "itq": [0.4, 0.45, 0.5], "bgan": [0.5, 0.55, 0.6]}
    broken = {("lsh", 32, 0): "failed", ("lsh", 32, 1): "missing"}
    found = results.read(write_results(tmp_path, broken=broken, map_of=lambda name, bits, seed: values[name][seed]))
    assert summary.what_ran(found) == (
        "4 methods, 2 code lengths (16, 32 bits), 3 seeds, 1 data set (Digits, Pixels). Of 20 runs: 18 done, 1 failed, 1 missing."
    )
    ((_, bests),) = summary.best_methods(found)
    assert [(best.labels, printed(best.cell)) for best in bests] == [(["BGAN"], "0.550 ± 0.050")] * 2
    assert [best.overlapping for best in bests] == [["ITQ"], ["ITQ"]]  # 0.45 + 0.05 reaches 0.55 - 0.05; 0.44 alone does not
    assert [best.absent for best in bests] == [[], ["LSH"]]


def test_declarations_select_filter_and_order(tmp_path):
    entry = declarations.Declaration(
        "map", "", "", [Value(metric="map")], best=True, select={"methods": ["itq", "lsh"], "bits": [32], "datasets": ["digits"]}
    )
    (table,) = tables.build(results.read(write_results(tmp_path)), [entry])
    assert [row.name for row in table.panels[0].rows] == ["itq", "lsh"]
    assert [column.bits for column in table.columns] == [32]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: a b, title: t, caption: c, values: []}", "small letters"),
        ("{name: a, title: t, caption: c, values: [], colour: red}", "unknown key 'colour'"),
        ("{name: a, title: t, values: []}", "caption must be given"),
        ("{name: a, title: t, caption: c, values: [{label: x}]}", "either a metric or a fact"),
        ("{name: a, title: t, caption: c, values: [], columns: seeds}", "expected bits or k"),
    ],
)
def test_a_wrong_declaration_is_one_clear_error(tmp_path, entry, message):
    (tmp_path / "tables.yaml").write_text(f"- {entry}\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match=message):
        declarations.read(tmp_path / "tables.yaml")


# LaTeX


HOSTILE = [
    "<script>alert(1)</script>",
    "a_b & 50% #1 ~x ^y {z} \\input{/etc/passwd}",
    '$x^2$ [best] *star* |bar| "quoted" `tick` a--b',
    "Müller Łódź Ångström ñ ç ő ğ ř œ",
    "αβγ Ω Λ ς ή \N{GREEK SMALL LETTER OMICRON} µ ± \N{MULTIPLICATION SIGN} ≤ → \N{EN DASH} …",
    "漢字 emoji 🙂 \N{COMBINING ACUTE ACCENT}",
    "_leading",
]


def compiled(folder, sources):
    """Compile LaTeX bodies into one document as a paper would; returns its text and the log."""
    if not shutil.which("pdflatex") or not shutil.which("pdftotext"):
        pytest.skip("needs pdflatex and pdftotext")
    preamble = "\\documentclass[twocolumn]{article}\\usepackage{booktabs}\\usepackage[margin=1.9cm]{geometry}\\begin{document}\n"
    (folder / "paper.tex").write_text(preamble + "\n\\clearpage\n".join(sources) + "\n\\end{document}\n", encoding="utf-8")
    job = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(job, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    text = subprocess.run(["pdftotext", "-layout", "paper.pdf", "-"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return text, done.stdout


def test_every_table_compiles_and_fits_two_columns(complete, tmp_path):
    sources = [path.read_text(encoding="utf-8") for path in sorted((complete / "tables").glob("*.tex"))]
    assert len(sources) == 9
    text, log = compiled(tmp_path, sources)
    assert "Overfull \\hbox" not in log
    assert "failed 1/3" in text
    assert "Exact Euclidean" in text


def test_the_latex_of_a_cell(tmp_path):
    values = {"lsh": [0.1, 0.2, 0.3], "pcah": [0.35], "itq": [0.4, 0.4, 0.43], "bgan": [0.4, 0.4, 0.4]}
    folder = write_results(tmp_path, map_of=lambda name, bits, seed: values[name][seed], broken={("lsh", 32, 0): "missing"})
    lines = latex.render(built(folder)["map"], ["gong2011iterative"]).splitlines()
    assert r"LSH & 0.200{\scriptsize$\,\pm\,$0.100} & 0.250{\scriptsize$\,\pm\,$0.071}\textsuperscript{2/3} \\" in lines
    assert r"PCAH & 0.350 & 0.350 \\" in lines
    assert r"ITQ & \textbf{0.410}{\scriptsize$\,\pm\,$0.017} & \textbf{0.410}{\scriptsize$\,\pm\,$0.017} \\" in lines
    assert r"Exact cosine & \multicolumn{2}{c}{0.620} \\" in lines
    assert r"\begin{tabular}{lcc}" in lines


def test_hostile_names_stay_text_in_latex(tmp_path):
    text, _ = compiled(tmp_path, [escape(name) + "\n\n" for name in HOSTILE])
    for expected in ("<script>alert(1)</script>", "50%", "#1", "\\input{/etc/passwd}", "[best]", "*star*", "|bar|", "a--b", "[U+6F22]"):
        assert expected in text
    letters = unicodedata.normalize("NFKC", text)  # the PDF's Omega is the unit of resistance
    assert {"Ω", "Λ", "β", "ς"} <= set(letters)


@given(st.text(max_size=40))
def test_escaped_text_has_no_active_character(text):
    left = re.sub(r"\\[a-zA-Z]+(\{\})?|\\.", "", escape(text))  # commands and escaped characters are fine
    left = re.sub(r"(?<=\S)~|~", "", left) if "\u00a0" in text else left
    assert not set(left) & set("#%&_^~\\")
    assert left.isascii()
    assert escape(text).count("$") % 2 == text.count("$") % 2


@given(st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_escaping_balances_braces(text):
    plain = escape(text).replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")


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


def test_the_page_says_what_went_wrong(complete):
    text = " ".join(Page(complete / "index.html").text)
    assert "Of 40 runs: 32 done, 4 failed, 4 missing." in text
    assert "ValueError: loss is not finite at step 40" in text
    assert "logs/runs/digits/pixels/itq/32bit/seed1.log" in text
    assert "Not complete: ITQ, 32 bits, on Digits, Pixels: 2/3 seeds; BGAN, 32 bits, on Digits, Pixels: failed 1/3" in text


def test_references_are_those_of_the_rows(complete):
    text = " ".join(Page(complete / "index.html").text)
    assert "Binary Generative Adversarial Networks for Image Retrieval" in text
    assert "Learning multiple layers of features from tiny images" not in text


@pytest.mark.filterwarnings("ignore:Glyph")  # the font has no Chinese
def test_hostile_names_stay_text_on_the_page(tmp_path):
    methods = [(f"m{place}", name, 0.3, True) for place, name in enumerate(HOSTILE)]
    folder = write_results(tmp_path / "results", methods=methods, bits=(16,), seeds=(0, 1))
    command.write(folder, folder / "report")
    page = Page(folder / "report/index.html")
    assert page.tags.count("script") == 1
    shown = {text.strip() for text in page.text}
    assert set(HOSTILE) <= shown | {text.removesuffix(" ") for text in shown}
    svg = (folder / "report/figures/overview.svg").read_text(encoding="utf-8")
    assert "$x^2$" in svg
    assert "&lt;script&gt;" in svg
    compiled(tmp_path, [path.read_text(encoding="utf-8") for path in (folder / "report/tables").glob("map*.tex")])


def test_partial_is_marked_everywhere(tmp_path, undrawn):
    folder = write_results(tmp_path / "results", broken={("itq", 16, 0): "missing"})
    command.write(folder, folder / "report", partial=True)
    assert "Partial report." in (folder / "report/index.html").read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in (folder / "report/tables").glob("*.tex")]
    assert texts
    assert all("Partial: not every run is done." in text for text in texts)


def test_an_experiment_of_which_nothing_was_made(tmp_path):
    everything = {(name, bits, seed): "missing" for name, *_ in METHODS for bits in (16, 32) for seed in SEEDS}
    folder = write_results(tmp_path / "results", broken=everything, datasets={"digits": {"label": "Digits"}})
    described = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    described["features"]["digits/pixels"]["dimensions"] = None
    (folder / "experiment.json").write_text(json.dumps(described), encoding="utf-8")
    _write_csv(folder / "metrics.csv", METRIC_COLUMNS, [])
    command.write(folder, folder / "report", partial=True)
    text = " ".join(Page(folder / "report/index.html").text)
    assert "Of 20 runs: 0 done, 20 missing." in text
    assert "the data set was not prepared" in text
    assert "No run is scored" in text


def test_the_same_results_make_the_same_bytes(complete, tmp_path):
    shutil.copytree(complete.parent, tmp_path / "results")
    command.write(tmp_path / "results", tmp_path / "results/report")
    files = [path.relative_to(complete) for path in complete.rglob("*") if path.is_file() and path.name != "index.html"]
    assert len(files) > 20
    for file in files:
        assert (complete / file).read_bytes() == (tmp_path / "results/report" / file).read_bytes(), file


def _luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("colour", figures.COLOURS)
def test_lines_stand_out_on_light_and_on_dark(colour):
    dark = re.search(
        r"prefers-color-scheme: dark.*?--page: (#\w+)", (Path(figures.__file__).parent / "templates/style.css").read_text(), re.DOTALL
    )
    for page in ("#ffffff", dark[1]):
        low, high = sorted((_luminance(colour), _luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11


# Inputs, outputs, harness


def _replaced(path, old, new):
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "metrics.csv").unlink(), "metrics.csv does not exist"),
        (lambda folder: _replaced(folder / "metrics.csv", "variant", "method"), "metrics.csv lacks the columns variant"),
        (lambda folder: _replaced(folder / "metrics.csv", "map,,0.62", "map,,nan"), "value 'nan' for map of exact-cosine"),
        (lambda folder: _replaced(folder / "metrics.csv", "map,,0.62", "map,,high"), "value 'high' for map"),
        (
            lambda folder: _replaced(folder / "metrics.csv", "exact-l2,0,0,map,", "exact-cosine,0,0,map,"),
            "two values for map of exact-cosine",
        ),
        (lambda folder: _replaced(folder / "runs.csv", "status", "state"), "runs.csv lacks the columns status"),
        (lambda folder: _replaced(folder / "experiment.json", '"grid"', '"pairs"'), "experiment.json lacks grid"),
        (lambda folder: _replaced(folder / "experiment.json", "{", ""), "experiment.json is no JSON"),
        (lambda folder: _replaced(folder / "experiment.json", "song2018binary", "song2099"), "references.bib has no entry 'song2099'"),
        (lambda folder: (folder / "report").mkdir() or (folder / "report/thesis.doc").touch(), "holds thesis.doc"),
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


def test_partial_results_are_a_folder_of_their_own(tmp_path, monkeypatch, undrawn):
    monkeypatch.chdir(tmp_path)
    write_results(tmp_path / "results/partial")
    monkeypatch.setattr(sys, "argv", ["report", "--partial"])
    command.main()
    assert (tmp_path / "results/partial/report/index.html").is_file()
    assert (tmp_path / "results/partial/metrics.csv").is_file()


def test_the_harness_cost_is_kept_until_the_next_command_that_makes_a_run(tmp_path):
    cost = {"started": 1000.0, "cores": 2, "runs_made": 10, "fit_seconds": 20.0, "encode_seconds": 5.0, "score_seconds": 3.0}
    measured = harness.measure(cost, now=1030.0)
    assert measured["seconds_per_run"] == pytest.approx((30 * 2 - 28) / 10)
    path = tmp_path / "harness.json"
    assert harness.keep(path, None) is None
    assert "not measured" in harness.sentence(None, cost["started"])
    assert harness.keep(path, measured) == measured
    expected = "The harness cost 3.20 core-seconds a run beyond fitting, encoding and scoring (10 runs in 30 s on 2 cores)."
    assert harness.sentence(measured, cost["started"]) == expected
    # Writing the report again, by hand and later, is no part of the command.
    again = harness.keep(path, harness.measure(cost, now=5000.0))
    assert harness.sentence(again, cost["started"]) == expected
    later = harness.keep(path, harness.measure(cost | {"started": 8000.0, "runs_made": 0}, now=9000.0))
    assert harness.sentence(later, 8000.0).startswith("This command made no run; when one last did (1970-01-01), the harness cost 3.20 ")
    assert harness.measure(cost | {"started": None}, now=2000.0) is None


def test_the_bibliography_is_read_whole():
    path = references.BIBLIOGRAPHY
    found = references.read()
    assert len(found) == path.read_text(encoding="utf-8").count("@")
    assert all(entry.authors and entry.title and entry.year and entry.venue for entry in found.values())
    assert found["song2018binary"].authors.startswith("Jingkuan Song, Tao He")
    assert found["song2018binary"].link == "https://doi.org/10.1609/aaai.v32i1.11276"
