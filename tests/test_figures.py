"""Figures in their forms, the files beside tables and figures, and what a large report costs."""

import itertools
import subprocess
import sys
from dataclasses import replace

import pytest
from builders import describe, described, write_extras, write_results

from harness.plugins import ROOT
from harness.variants import CONTROLS
from report import results, summary
from report.figures import plot_style, plots, ranking
from report.figures.figure import finished
from report.tables.build import build_tables
from report.writers import csv_files

GRID = [
    results.Pair(dataset, features)
    for dataset in ("digits", "cifar10")
    for features in ("pixels", "gist")
]
REPORT = """
import os
forks = []
# Programs that are started, for example git, do not call it.
os.register_at_fork(after_in_parent=lambda: forks.append(None))
from report.__main__ import main
main()
print(len(forks))
"""


def test_a_report_drawn_by_two_processes_is_the_same(tmp_path):
    folder = write_results(tmp_path / "results", bits=(16,))
    write_extras(folder, "lsh", bits=16)
    write_extras(folder, "itq", bits=16)
    reports = []
    for threads in ("1", "2"):
        arguments = [
            "--results",
            str(folder),
            "--output",
            str(tmp_path / "report"),
            "--threads",
            threads,
        ]
        done = subprocess.run(
            [sys.executable, "-c", REPORT, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        forks = int(done.stdout.splitlines()[-1])
        assert (forks > 0) == (threads == "2"), (
            "figures are drawn in child processes if there are several"
        )
        files = [
            path
            for path in (tmp_path / "report").rglob("*")
            if path.is_file() and path.name != "report.json"
        ]
        reports.append({path.relative_to(tmp_path): path.read_bytes() for path in files})
    assert len(reports[0]) > 30
    assert reports[0] == reports[1]


def test_the_files_of_a_figure_keep_their_legend_and_the_page_has_its_own(tmp_path):
    collected = results.read(write_results(tmp_path))
    overview = plots.draw(collected)[0]
    assert overview.svg.count(">BGAN</text>") == 1
    assert "BGAN" not in overview.inline
    assert 'data-series="bgan"' in overview.inline
    assert "data-series" not in overview.svg
    sizes = [
        float(svg.partition('height="')[2].partition("pt")[0])
        for svg in (overview.svg, overview.inline)
    ]
    assert sizes[0] - sizes[1] >= 72 * plot_style.LEGEND_ROW_INCHES - 0.01
    assert overview.names == [
        "lsh",
        "pcah",
        "itq",
        "bgan",
        "exact-cosine",
        "exact-l2",
        plot_style.CHANCE_NAME,
    ]


def test_a_table_as_csv_has_the_numbers_and_the_words_of_its_cells(tmp_path):
    values = {
        "lsh": [0.1, 0.2, 0.3],
        "pcah": [0.35],
        "itq": [0.4, 0.4, 0.43],
        "bgan": [0.41, 0.41, 0.41],
    }
    broken = {("bgan", 32, seed): "failed" for seed in range(3)}
    folder = write_results(
        tmp_path, map_of=lambda name, bits, seed: values[name][seed], broken=broken
    )
    lines = {
        table.name: csv_files.of_table(table).splitlines()
        for table in build_tables(results.read(folder))
    }
    assert (
        lines["map"][0] == 'Panel,Method,16 bits,"16 bits, deviation",32 bits,"32 bits, deviation"'
    )
    assert [float(text) for text in lines["map"][1].split("LSH,")[1].split(",")] == pytest.approx(
        [0.2, 0.1, 0.2, 0.1], abs=1e-12
    )
    assert lines["map"][2] == '"Digits, Pixels",PCAH,0.35,,0.35,'
    assert lines["map"][4].endswith(",0.41,0.0,failed 3/3,")
    assert lines["map"][5] == '"Digits, Pixels",Exact cosine,0.62,,0.62,'
    assert "Bit balance: 16 bits" in lines["code-health"][0]
    assert "\N{EN DASH}" in lines["map-tie-order"][1]


def test_a_mean_over_fewer_seeds_states_them_in_the_csv(tmp_path):
    folder = write_results(
        tmp_path, map_of=lambda name, bits, seed: 0.5, broken={("itq", 16, 0): "missing"}
    )
    lines = csv_files.of_table(
        {table.name: table for table in build_tables(results.read(folder))}["map"]
    ).splitlines()
    assert (
        lines[0]
        == 'Panel,Method,16 bits,"16 bits, deviation","16 bits, seeds",32 bits,"32 bits, deviation"'
    )
    assert lines[1:4] == [
        '"Digits, Pixels",LSH,0.5,0.0,,0.5,0.0',
        '"Digits, Pixels",PCAH,0.5,,,0.5,',
        '"Digits, Pixels",ITQ,0.5,0.0,2/3,0.5,0.0',
    ]


@pytest.fixture
def drawn(monkeypatch):
    """The panels of each figure that is drawn."""
    shown = []

    def stored_canvas(*arguments, **kwargs):
        canvas, axes = plot_style.canvas_of(*arguments, **kwargs)
        shown.append(axes)
        return canvas, axes

    monkeypatch.setattr(plots, "canvas_of", stored_canvas)
    return shown


def test_every_row_of_panels_names_its_y_axis(tmp_path, drawn):
    collected = results.read(
        write_results(
            tmp_path,
            bits=(8, 12, 16, 24, 32, 48),
            grid=[*GRID, results.Pair("cifar10", "vgg19_fc7")],
        )
    )
    plots.overview(collected)
    plots.precision_at_k(collected, GRID[0])
    assert [[axis.get_ylabel() for axis in axes] for axes in drawn] == [
        ["mAP over all ranks", "", "", "mAP over all ranks", ""],
        ["Precision@k", "", "", "Precision@k", "", ""],
    ]


def test_long_labels_stay_on_the_canvas(tmp_path, drawn):
    long = [
        f"A method of ours with everything that one can say of it in a label, {index}, and more"
        for index in range(12)
    ]
    methods = [
        (f"m{index}", label, 0.3, True) for index, label in enumerate([*long, "W" * 60, "LSH"])
    ]
    collected = results.read(write_results(tmp_path, methods=methods))
    overview = plots.draw(collected)[0]
    assert ">A method of ours with ever\N{HORIZONTAL ELLIPSIS}, 7, and more</text>" in overview.svg
    canvas = drawn[0][0].figure
    extent = canvas.legends[0].get_window_extent()
    assert 0 <= extent.x0 < extent.x1 <= canvas.bbox.width
    assert extent.y0 >= 0


def test_a_panel_of_many_lines_is_taller_and_its_legend_has_columns(tmp_path, drawn):
    def drawing(count):
        methods = [(f"m{index}", f"{'A method, ' * 5}{index}", 0.3, True) for index in range(count)]
        plots.overview(results.read(write_results(tmp_path / str(count), methods=methods)))
        axis = drawn[-1][0]
        legend = axis.figure.legends[0]
        lefts = {round(text.get_window_extent().x0) for text in legend.get_texts()}
        extent = legend.get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= axis.figure.bbox.width
        return len(lefts), axis.bbox.height

    few, many = drawing(8), drawing(30)
    assert (few[0], many[0]) == (1, 2)
    assert many[1] > 1.5 * few[1]


def test_the_legend_of_the_overview_has_the_order_in_which_its_lines_end(tmp_path, drawn):
    values = {("lsh", 16): 0.9, ("lsh", 32): 0.1, ("pcah", 16): 0.2, ("pcah", 32): 0.6}
    collected = results.read(
        write_results(
            tmp_path,
            map_of=lambda name, bits, seed: values.get((name, bits), 0.3),
            broken={("itq", 32, seed): "unplanned" for seed in range(3)},
        )
    )
    plots.overview(collected)
    shown = [text.get_text() for text in drawn[0][0].figure.legends[0].get_texts()]
    assert shown[:4] == ["PCAH", "ITQ", "BGAN", "LSH"]


def test_chance_is_its_average_precision_or_its_precision(tmp_path, drawn):
    collected = results.read(write_results(tmp_path))
    plots.overview(collected)
    plots.precision_at_k(collected, collected.pairs[0])
    lines = [
        next(line for line in axes[0].lines if line.get_label() == plot_style.CHANCE)
        for axes in drawn
    ]
    assert [line.get_ydata()[0] for line in lines] == [0.104, 0.1]
    assert summary.winners(collected)[-1].endswith("; a random ranking has 0.104.")


def test_the_caption_of_the_overview_names_what_is_drawn(tmp_path):
    whole = plots.overview(results.read(write_results(tmp_path / "whole"))).caption
    assert "Bars are one standard deviation over seeds" in whole
    assert (
        "rankings by real-valued features, which are not upper bounds, and the chance level"
        in whole
    )
    bare = plots.overview(
        results.read(write_results(tmp_path / "bare", seeds=(0,), controls=[]))
    ).caption
    assert (
        bare == "Mean average precision over all ranks (expected over ties) against code length. "
        "The straight line is the chance level."
    )


def test_quality_is_drawn_against_bytes_and_measured_times(tmp_path):
    """Re-ranked codes store their features too, and have a time of their own."""
    collected = results.read(write_results(tmp_path / "results", bits=(16, 32), quantised=True))
    pair = collected.pairs[0]
    scores = collected.scores | {(*pair, "itq", 32, "map_reranked@k", 1000): {0: 0.6, 1: 0.62}}
    times = {"itq": "60", "pq": "120", "exact-l2": "9000"}
    timing = {
        (*pair, name, 0 if name == "exact-l2" else 32): {"search_microseconds": time}
        for name, time in times.items()
    }
    timing[*pair, "itq", 32]["rerank_microseconds"] = "170"
    with plot_style.report_style():
        without_times = plots.quality_and_cost(collected, pair)
        collected = replace(collected, scores=scores, timing=timing)
        figure = plots.quality_and_cost(collected, pair)

    assert len(without_times.panels) == 1
    of_bytes, of_times = (points_by_name(panel) for panel in figure.panels)
    assert of_bytes["itq"][1] == [("772", "0.6100")]  # 4 bytes of the code, 192 dimensions
    assert [x for x, _ in of_bytes["itq"][0]] == ["2", "4"]
    assert [x for x, _ in of_bytes["pq"][0]] == ["2", "4"]
    assert [x for x, _ in of_bytes["int8"][0]] == ["192"]
    assert [x for x, _ in of_bytes["exact-l2"][0]] == ["768"]
    assert of_times.keys() == times.keys()
    assert [x for line in of_times["itq"] for x, _ in line] == ["60", "170"]
    assert of_times["exact-l2"] == [[("9000", "0.6000")]]


def points_by_name(panel):
    """{method or control: lines of its points (x, y)} of a panel."""
    lines = {}
    for line in panel["series"]:
        points = list(zip(line["x"].split(), line["y"].split(), strict=True))
        lines.setdefault(line["name"], []).append(points)
    return lines


def test_quality_against_cost_is_omitted_where_it_repeats_the_overview(tmp_path):
    collected = results.read(write_results(tmp_path / "results", bits=(16,)))
    assert plots.quality_and_cost(collected, collected.pairs[0]) is None


def test_rows_with_one_label_are_distinguished(tmp_path):
    """A variant without a label has that of its plugin; a legend has one entry a label."""
    methods = [("itq", "ITQ", 0.4, True), ("itq-500", "ITQ", 0.3, True), ("lsh", "LSH", 0.2, True)]
    collected = results.read(write_results(tmp_path, methods=methods))
    labels = ["ITQ (itq)", "ITQ (itq-500)", "LSH"]
    (table, *_) = build_tables(collected)
    assert [row.label for row in table.panels[0].rows] == labels
    overview = plots.draw(collected)[0]
    assert all(f">{label}</text>" in overview.svg for label in labels)


def style_of(look):
    return look["color"], look.get("marker"), str(look["linestyle"])


def test_no_two_methods_look_alike():
    """The field has more than thirty rows, and colours repeat after seven."""
    looks = [plot_style.look(index) for index in range(100)]
    assert len(set(map(style_of, looks))) == len(looks)

    lines = [(look["color"], str(look["linestyle"])) for look in looks]
    cycle = len(plot_style.COLOURS) * len(plot_style.METHOD_DASHES)
    assert len(set(lines[:cycle])) == cycle  # without their markers, too
    assert {look["linestyle"] for look in looks[:7]} == {"-"}


def test_controls_and_chance_look_like_no_method():
    controls = [plot_style.control_look(index, name) for index, name in enumerate(CONTROLS)]
    others = [*controls, plot_style.chance_look()]
    assert len({str(look["linestyle"]) for look in others}) == len(CONTROLS) + 1
    for look in others:
        assert look["color"] not in plot_style.COLOURS
        assert "marker" not in look
        assert look["linestyle"] != "-"


def test_the_legend_of_the_page_shows_the_dashes_of_the_figures(tmp_path):
    methods = [(f"m{index}", f"Method {index}", 0.3, False) for index in range(9)]
    shown = results.read(write_results(tmp_path, methods=methods))
    keys = {key.name: key for key in plot_style.legend(shown)}
    assert [keys[f"m{index}"].dashes for index in (0, 6, 7, 8)] == ["", "", "4 1.5", "4 1.5"]
    assert keys["m0"].colour == keys["m7"].colour


def values_in(figure, panel):
    """{method: (row, value)} of the points in a panel of a ranking."""
    series = figure.panels[panel]["series"]
    return {each["name"]: (int(each["x"]), float(each["y"])) for each in series}


def test_one_code_length_is_a_ranking_with_the_neighbour_recall_of_the_same_codes(tmp_path):
    levels = {"lsh": 0.2, "pcah": 0.6, "itq": 0.4, "bgan": 0.3}
    folder = write_results(
        tmp_path, bits=(16,), map_of=lambda name, bits, seed: levels[name] + seed / 100
    )
    recalls = {"lsh": 0.1, "pcah": 0.2, "itq": 0.4, "bgan": 0.3, "exact-cosine": 1.0}
    with open(folder / "metrics.csv", "a", encoding="utf-8") as file:
        for name, level in recalls.items():
            for seed in (0, 1, 2) if name in ("lsh", "itq", "bgan") else (0,):
                length = 0 if name == "exact-cosine" else 16
                value = level + seed / 100
                file.write(f"digits,pixels,{name},{length},{seed},neighbour_recall@k,100,{value}\n")
    collected = results.read(describe(folder))
    figure = plots.draw(collected)[0]
    assert figure.name == "overview"
    assert all(panel["flipped"] for panel in figure.panels)
    quality, recall = values_in(figure, 0), values_in(figure, 1)

    methods = [name for name in quality if name in levels]
    assert methods == ["pcah", "itq", "bgan", "lsh"]
    assert quality["pcah"][1] == 0.6  # deterministic: seed 0 only
    assert quality["itq"][1] == pytest.approx(0.41)
    cosine = collected.of_control(GRID[0], "exact-cosine", 16, "map")
    assert quality["exact-cosine"][1] == pytest.approx(cosine, abs=1e-4)
    rows = [row for row, _ in quality.values()]
    assert rows == list(range(1, 7))
    assert [value for _, value in quality.values()] == sorted(
        (value for _, value in quality.values()), reverse=True
    )

    assert {name: value for name, (_, value) in recall.items()} == pytest.approx(
        {"lsh": 0.11, "pcah": 0.2, "itq": 0.41, "bgan": 0.31}
    )
    assert all(recall[name][0] == quality[name][0] for name in levels)


def test_a_ranking_of_several_data_sets_has_the_order_of_the_first(tmp_path):
    folder = write_results(tmp_path, grid=GRID[:2], bits=(16,))
    figure = plots.draw(results.read(folder))[0]
    first, second = values_in(figure, 0), values_in(figure, 1)
    assert [panel["title"] for panel in figure.panels] == ["Digits, Pixels", "Digits, Gist"]
    assert {name: row for name, (row, _) in first.items()} == {
        name: row for name, (row, _) in second.items()
    }
    assert {panel["series"][0]["quantity"] for panel in figure.panels} == {"mAP over all ranks"}


def test_a_ranking_has_the_recall_of_a_control_that_leaves_room_for_the_methods(tmp_path):
    folder = write_results(tmp_path, bits=(16,), quantised=True)
    recalls = {("itq", 16, seed): 0.2 for seed in range(3)}
    recalls |= {("pq", 16, 0): 0.3, ("int8", 0, 0): 0.99, ("exact-cosine", 0, 0): 1.0}
    with open(folder / "metrics.csv", "a", encoding="utf-8") as file:
        file.writelines(
            f"digits,pixels,{name},{bits},{seed},neighbour_recall@k,100,{value}\n"
            for (name, bits, seed), value in recalls.items()
        )
    figure = plots.draw(results.read(describe(folder)))[0]
    assert {"itq", "pq", "int8", "exact-cosine"} < set(values_in(figure, 0))
    assert {name: value for name, (_, value) in values_in(figure, 1).items()} == {
        "itq": 0.2,
        "pq": 0.3,
    }


def test_titles_of_many_panels_of_a_ranking_do_not_overlap(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        ranking, "finished", lambda canvas, *rest: shown.append(canvas) or finished(canvas, *rest)
    )
    grid = [*GRID, results.Pair("cifar10", "vgg19_fc7")]
    folder = write_results(tmp_path, grid=grid, bits=(16,))
    experiment = described(folder)
    for facts in experiment["datasets"].values():
        facts["label"] = "A data set with a long name"
    plots.draw(results.read(describe(folder, experiment)))
    boxes = [axis.title.get_window_extent() for axis in shown[0].axes]
    assert len(boxes) == 5
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    assert all(0 <= box.x0 < box.x1 <= shown[0].bbox.width for box in boxes)
    assert all(box.y1 <= shown[0].bbox.height for box in boxes)


def test_a_ranking_leaves_out_what_has_no_value_and_says_what_is_incomplete(tmp_path):
    broken = {("itq", 16, seed): "failed" for seed in range(3)} | {("lsh", 16, 1): "missing"}
    figure = plots.draw(results.read(write_results(tmp_path, bits=(16,), broken=broken)))[0]
    assert "itq" not in values_in(figure, 0)
    assert "ITQ, 16 bits, on Digits, Pixels: failed" in figure.caption
    assert "LSH, 16 bits, on Digits, Pixels: 2/3 seeds" in figure.caption


def test_the_labels_of_a_ranking_stay_on_the_canvas(tmp_path, monkeypatch):
    labels = ["W" * 60, "i" * 60, "LSH"]
    methods = [(f"m{index}", label, 0.3, True) for index, label in enumerate(labels)]
    shown = []
    monkeypatch.setattr(
        ranking, "finished", lambda canvas, *rest: shown.append(canvas) or finished(canvas, *rest)
    )
    plots.draw(results.read(write_results(tmp_path, methods=methods, bits=(16,))))
    texts = shown[0].axes[0].get_yticklabels()
    assert min(text.get_window_extent().x0 for text in texts) >= 0
