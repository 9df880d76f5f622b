"""The page in a browser: its script, its tooltips, and its accessibility."""

import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from builders import DIGITS, METHODS, checked_pages, write_extras, write_results

from harness.plugins import ROOT
from report import __main__ as command

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright, of requirements-test.txt"
)

HOSTILE = '<img src=x onerror="window.hacked = 1"> & "q" \'q\''
CIFAR = ("cifar10", "vgg19_fc7")
BROKEN = {
    ("itq", 16, 1): "missing",
    ("pcah", 16, 0): "failed",
    ("odd", 32, 0): "failed",
    ("odd", 32, 1): "missing",
    ("odd", 32, 2): "missing",
}


@pytest.fixture(scope="module")
def results(build_once):
    """A report of two data sets with incomplete, failed and missing cells.

    The label of one method is markup.
    """

    def write(folder):
        write_results(
            folder,
            methods=[*METHODS, ("odd", HOSTILE, 0.3, True)],
            grid=(DIGITS, CIFAR),
            broken=BROKEN,
        )
        write_extras(folder, "lsh")
        command.write(folder, folder / "report")

    return build_once("browser", write)


@pytest.fixture(scope="module")
def metrics(results):
    """(data set, features, variant, bits, metric, k or 0) -> values of its seeds in metrics.csv."""
    table = pd.read_csv(results / "metrics.csv").fillna({"k": 0})
    keys = ["dataset", "features", "variant", "bits", "metric", "k"]
    return {key: group["value"].to_numpy() for key, group in table.groupby(keys)}


@pytest.fixture
def opened(browser, results):
    yield from checked_pages(
        browser, (results / "report/index.html").as_uri(), r"file:.*/report/index\.html|data:"
    )


def rows(page, table="map", part="tbody:not(.controls)"):
    """The labels of the rows of a table's first part that are shown."""
    shown = page.locator(f"#table-{table} {part}").first.locator("tr:not(.panel):visible th")
    return [text.partition(" [")[0] for text in shown.all_inner_texts()]


def expected(values, printed="{:.4f}"):
    """Mean and deviation, as the page should say them."""
    mean = printed.format(np.mean(values))
    return f"{mean} ± {printed.format(np.std(values, ddof=1))}" if len(values) > 1 else mean


# Contents


def test_contents_stand_beside_the_text_where_there_is_room_and_mark_what_is_read(opened):
    page = opened("#table-map-at-1000", viewport={"width": 1400, "height": 800})
    current = page.locator("nav a[aria-current]")
    sync_api.expect(current).to_have_attribute("href", "#table-map-at-1000")
    assert (
        current.bounding_box()["x"] + current.bounding_box()["width"]
        < page.locator("main").bounding_box()["x"]
    )
    page.locator("nav a", has_text="References").click()
    page.mouse.wheel(0, -300)
    sync_api.expect(current).not_to_have_attribute("href", "#table-map-at-1000")
    assert 0 <= current.bounding_box()["y"] < 800, "the contents follow"
    assert page.evaluate(
        "[...document.querySelectorAll('nav a')].every((link) => document.querySelector(link.hash))"
    )
    page.set_viewport_size({"width": 900, "height": 800})
    sync_api.expect(page.locator("nav ul").first).to_be_hidden()
    assert page.locator("nav").bounding_box()["height"] < 100


# Tables


@pytest.mark.parametrize("press", ["click", "Enter"])
def test_a_heading_sorts_each_part_of_its_table_and_missing_cells_stay_last(opened, metrics, press):
    page = opened()
    heading = page.locator("#table-map thead th", has_text="32 bits")
    means = {
        name: np.mean(metrics.get((*DIGITS, name, 32, "map", 0), [np.nan]))
        for name in ("lsh", "pcah", "itq", "bgan")
    }
    labels = dict(zip(means, ("LSH", "PCAH", "ITQ", "BGAN"), strict=True))
    rising = [labels[name] for name in sorted(means, key=means.get)]
    for order, shown in (
        ("descending", [*rising[::-1], HOSTILE]),
        ("ascending", [*rising, HOSTILE]),
        (None, [*labels.values(), HOSTILE]),
    ):
        if press == "click":
            heading.get_by_role("button").click()
        else:
            heading.get_by_role("button").press(press)
        assert rows(page) == shown
        assert heading.get_attribute("aria-sort") == order
        assert rows(page, part="tbody.controls") == ["Exact cosine", "Exact Euclidean"]
        assert (
            page.locator("#table-map tbody").first.locator("tr").first.inner_text()
            == "Digits, Pixels"
        )


def test_words_sort_before_they_sort_backwards(opened):
    page = opened()
    heading = page.locator("#table-map thead th", has_text="Method").get_by_role("button")
    heading.click()
    assert rows(page) == [HOSTILE, "BGAN", "ITQ", "LSH", "PCAH"]
    heading.click()
    assert rows(page) == ["PCAH", "LSH", "ITQ", "BGAN", HOSTILE]


def test_runs_sort_by_their_numbers(opened):
    page = opened()
    page.locator("#runs summary").click()
    page.locator("#runs-table thead th", has_text="Fit (s)").get_by_role("button").click()
    texts = page.locator("#runs-table tbody tr.done td:nth-child(3)").all_inner_texts()
    seconds = [float(text.replace(",", "")) for text in texts]
    assert len(seconds) > 40
    assert seconds == sorted(seconds, reverse=True)
    assert "done" not in page.locator("#runs-table tbody tr").last.get_attribute("class")


def test_a_field_filters_the_rows_of_all_tables(opened):
    page = opened()
    everything = page.locator("table.results tbody tr:not(.panel):visible").count()
    field = page.get_by_label("Filter methods by name")
    field.press_sequentially("iTq")
    shown = page.locator("table.results tbody tr:not(.panel):visible th")
    assert {text.partition(" [")[0] for text in shown.all_inner_texts()} >= {"ITQ"}
    assert all("ITQ" in text for text in shown.all_inner_texts())
    assert page.locator("#found-tables").inner_text() == f"{shown.count()} of {everything} rows"
    assert page.locator("#table-map .origin-of[tabindex='0']:visible").count() == 1
    field.fill("no such method")
    assert page.locator("table.results tbody tr:visible").count() == 0
    field.fill("")
    assert page.locator("table.results tbody tr:not(.panel):visible").count() == everything
    assert page.locator("#found-tables").inner_text() == ""


# Plots


def test_a_legend_toggles_its_method_in_all_plots_and_in_the_address(opened):
    page = opened()
    plots = page.locator(".drawing[data-panels]").count()
    assert plots == 1 + 2 * 4
    drawn = page.locator("[data-series='bgan']:visible").count()
    assert drawn >= 2 * plots
    page.locator("#figure-overview .legend").get_by_role("button", name="BGAN").click()
    assert page.locator("[data-series='bgan']:visible").count() == 0
    assert page.locator("[data-series='itq']:visible").count() > plots
    assert page.locator(".legend button[data-name='bgan'][aria-pressed='false']").count() == plots
    again = opened("#" + page.url.partition("#")[2])
    assert again.locator("[data-series='bgan']:visible").count() == 0
    again.locator(".legend").last.get_by_role("button", name="BGAN").press("Space")
    assert again.locator("[data-series='bgan']:visible").count() == drawn
    assert "#" not in again.url
    again.locator(".legend").first.get_by_role("button", name="None").click()
    assert again.locator("[data-series]:visible").count() == 0
    again.locator(".legend").first.get_by_role("button", name="All").click()
    assert again.locator("[data-series='bgan']:visible").count() == drawn


def test_an_unknown_address_leaves_the_page_unchanged(opened):
    page = opened("#hide=%E0%A4%A")
    assert page.locator("#table-map .origin-of").count() > 0
    assert page.locator("[data-series='bgan']:visible").count() > 0


def test_a_method_has_one_colour_in_all_plots(opened):
    page = opened()
    colours = page.eval_on_selector_all(
        "[data-series] path[style*='stroke']",
        "paths => paths.map("
        "path => [path.closest('[data-series]').dataset.series, path.style.stroke])",
    )
    colours_of_names = {
        name: {colour for other, colour in colours if other == name} for name, _ in colours
    }
    assert {"lsh", "pcah", "itq", "bgan", "odd"} <= set(colours_of_names)
    assert all(len(seen) == 1 for seen in colours_of_names.values())
    assert (
        len({next(iter(colours_of_names[name])) for name in ("lsh", "pcah", "itq", "bgan", "odd")})
        == 5
    )


def test_the_pointer_reads_every_marker_and_the_values_are_those_of_the_metrics(opened, metrics):
    """Matplotlib places the markers and the script writes the text: both match metrics.csv."""
    page = opened(viewport={"width": 1400, "height": 900})
    page.locator("#figure-overview").scroll_into_view_if_needed()
    for panel, (pair, name) in enumerate(
        itertools.product((DIGITS, CIFAR), ("lsh", "pcah", "itq", "bgan"))
    ):
        pair_index = panel // 4
        groups = page.locator(
            f"#figure-overview [id$='axes_{pair_index + 1}'] [data-series='{name}']"
        )
        markers = groups.last.locator("use")
        lengths = [bits for bits in (16, 32) if (*pair, name, bits, "map", 0) in metrics]
        assert markers.count() == len(lengths)
        for index, bits in enumerate(lengths):
            box = markers.nth(index).bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            label, value, where, *_ = page.locator("#tip").inner_text().split("\n")
            assert page.locator("#tip").is_visible()
            assert (label, value) == (
                name.upper(),
                f"mAP {expected(metrics[*pair, name, bits, 'map', 0])}",
            )
            assert where == f"{bits} bits"
    page.mouse.move(5, 5)
    assert not page.locator("#tip").is_visible()


@pytest.mark.parametrize(
    ("figure", "quantity"),
    [("precision-at-k", "precision@k"), ("precision-recall-by-rank", "pr_rank_precision")],
)
def test_arrow_keys_read_every_point_of_a_line(opened, metrics, figure, quantity):
    page = opened()
    drawing = page.locator(f"#figure-{figure}--digits--pixels .drawing")
    drawing.focus()
    drawing.press("ArrowRight")
    cuts = sorted(
        k for *key, metric, k in metrics if (*key, metric) == (*DIGITS, "lsh", 16, quantity)
    )
    for index, k in enumerate(cuts):
        words = page.locator("#tip").inner_text().split("\n")
        assert words[0] == "LSH"
        assert words[1].endswith(f" {expected(metrics[*DIGITS, 'lsh', 16, quantity, k])}")
        assert (
            words[2] == f"k {k:.0f}"
            if figure == "precision-at-k"
            else words[2].endswith(f"rank {k:.0f}")
        )
        if index < len(cuts) - 1:
            drawing.press("ArrowRight")
    drawing.press("ArrowDown")
    assert page.locator("#tip").inner_text().startswith("ITQ"), "PCAH failed at 16 bits"
    assert page.locator("#tip").get_attribute("role") == "status"
    drawing.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_the_tooltip_of_a_point_follows_it_while_the_page_scrolls(opened):
    page = opened()
    drawing = page.locator("#figure-overview .drawing")
    drawing.focus()
    drawing.press("ArrowRight")
    words, before = page.locator("#tip").inner_text(), page.locator("#tip").bounding_box()
    page.evaluate(
        "new Promise(done => { "
        "addEventListener('scroll', () => requestAnimationFrame(done)); scrollBy(0, 40) })"
    )
    after = page.locator("#tip").bounding_box()
    assert page.locator("#tip").is_visible()
    assert page.locator("#tip").inner_text() == words
    assert after["y"] == pytest.approx(before["y"] - 40, abs=1)


def test_a_hidden_method_has_no_tooltip(opened):
    page = opened("#hide=lsh,pcah,itq,exact-cosine")
    drawing = page.locator("#figure-overview .drawing")
    drawing.focus()
    seen = set()
    for _ in range(8):
        drawing.press("ArrowDown")
        seen.add(page.locator("#tip strong").inner_text())
    assert seen == {"BGAN", HOSTILE, "Exact Euclidean", "Chance level"}


# What made a number


def test_a_number_opens_its_runs(opened, metrics, results):
    page = opened()
    cell = page.locator("#table-map tbody").first.locator("tr", has_text="ITQ").locator("td").last
    cell.click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).inner_text() == "ITQ, 32 bits"
    lines = dialog.locator("tbody tr").all_inner_texts()
    values = metrics[*DIGITS, "itq", 32, "map", 0]
    assert [line.split("\t")[:2] for line in lines] == [
        [f"seed {seed}", f"{value:.6f}"] for seed, value in enumerate(values)
    ]
    links = dialog.locator("tbody a").evaluate_all("links => links.map(link => link.href)")
    assert links == [
        (results / f"runs/digits/pixels/itq/32bit/seed{seed}/run.json").as_uri()
        for seed in range(3)
    ]
    facts = dict(
        zip(
            dialog.locator("dt").all_inner_texts(),
            dialog.locator("dd").all_inner_texts(),
            strict=True,
        )
    )
    assert facts["Parameters"] == "iterations=50"
    assert facts["Versions"] == "python 3.11.7, torch 2.13.0"
    assert (facts["Device"], facts["Commit"], facts["Codes (SHA-256)"]) == (
        "cpu, repeats bit for bit",
        "0123456789ab",
        "ab" * 8,
    )
    assert "Fit (s)" in dialog.locator("thead").inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_arrow_keys_reach_every_number_and_enter_opens_it(opened):
    page = opened()
    first = page.locator("#table-map .origin-of").first
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).inner_text() == "PCAH, 32 bits"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('tr').cells[0].innerText").startswith(
        "PCAH"
    )


def test_failed_cells_groups_and_controls_say_what_they_are(opened):
    page = opened()
    dialog = page.get_by_role("dialog")
    page.locator("#table-map td.failed .origin-of").first.click()
    assert "ValueError: loss is not finite at step 40" in dialog.inner_text()
    page.keyboard.press("Escape")
    page.locator("#table-code-health tbody tr", has_text="BGAN").first.locator("td").nth(1).click()
    assert (
        dialog.get_by_role("heading", level=2).inner_text()
        == "BGAN, 32 bits, Distinct codes (share)"
    )
    page.keyboard.press("Escape")
    page.locator("#table-map .controls td").first.click()
    assert dialog.get_by_role("heading", level=2).inner_text() == "Exact cosine"
    assert "results/scores/digits/pixels/exact-cosine/metrics.csv" in dialog.inner_text()
    assert dialog.locator("tbody").count() == 0


def test_the_command_of_a_cell_makes_its_scores(opened):
    page = opened()
    page.locator("#table-map tbody").first.locator("tr", has_text="ITQ").locator("td").first.click()
    checkout, command = page.get_by_role("dialog").locator("pre").inner_text().splitlines()
    assert checkout == "git checkout 0123456789ab"
    assert command == "snakemake --cores all results/scores/digits/pixels/itq/metrics.csv"
    planned = [sys.executable, "-m", *command.split(), "--dry-run", "--forceall", "--nolock"]
    done = subprocess.run(planned, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"variant=([^,\s]+)", done.stdout + done.stderr)) == {"itq"}
    assert set(re.findall(r"^rule (\w+):", done.stdout + done.stderr, re.MULTILINE)) == {
        "dataset",
        "features",
        "encode",
        "score",
    }


def test_a_configuration_file_is_part_of_the_command(plain):
    page = (plain / "index.html").read_text(encoding="utf-8")
    assert "{variant}/metrics.csv --configfile &#39;config/my own.yaml&#39;" in page


# Who can read it


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_axe_finds_nothing_serious(opened, scheme, width):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs axe-playwright-python, of requirements-test.txt",
    )
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 800})
    for summary in page.locator("summary").all():
        summary.click()

    def serious(part):
        violations = (
            axe.Axe()
            .run(page, context=part, options={"resultTypes": ["violations"]})
            .response["violations"]
        )
        return [
            (item["id"], item["nodes"][0]["html"][:200])
            for item in violations
            if item["impact"] in ("serious", "critical")
        ]

    # Many rows are of one kind: the first of each kind suffices.
    many = "#runs-table tr:nth-child(n + 5), #tables section:nth-of-type(n + 4)"
    page.evaluate(
        "many => document.querySelectorAll(many).forEach(element => element.remove())", many
    )
    assert serious("body") == []
    page.locator("#table-map .origin-of").first.click()
    assert serious("#provenance") == []


def test_a_narrow_screen_scrolls_down_alone(opened):
    page = opened(viewport={"width": 390, "height": 800}, has_touch=True)
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#table-map .origin-of").first.tap()
    assert page.get_by_role("dialog").evaluate(
        "dialog => dialog.scrollWidth <= dialog.clientWidth && dialog.offsetWidth < 390"
    )


def test_the_page_is_complete_without_its_script(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#table-map tbody tr").first.is_visible()
    assert page.locator("#figure-overview svg").first.is_visible()
    assert page.locator("#figure-overview .legend li").count() == 8
    for dead in ("button:visible", "input:visible", "[role=button]", ".scripted:visible"):
        assert page.locator(dead).count() == 0


def test_it_is_painted_and_small(opened, results):
    # The paint may come after the page was loaded.
    painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    assert opened().wait_for_function(painted, polling=50).json_value() > 0
    assert (results / "report/index.html").stat().st_size < 5e6


def test_the_tooltips_of_points_are_the_values_of_the_csv_file(opened, results):
    page = opened()
    panels = json.loads(
        page.locator("#figure-time--digits--pixels .drawing").get_attribute("data-panels")
    )
    table = pd.read_csv(results / "report/figures/time--digits--pixels.csv")
    runs = pd.read_csv(results / "runs.csv")
    done = runs[(runs["dataset"] == "digits") & (runs["variant"] == "bgan") & (runs["bits"] == 16)]
    (series,) = [series for series in panels[0]["series"] if series["name"] == "bgan"]
    assert series["y"].split()[0] == f"{done['fit_seconds'].mean():.3g}"
    assert series["deviation"].split()[0] == f"{done['fit_seconds'].std():.3g}"
    (row,) = table[
        (table["panel"] == "Fit (s)") & (table["method"] == "bgan") & (table["x"] == 16)
    ].to_dict("records")
    assert float(series["y"].split()[0]) == row["y"]
