"""The leaderboard: what is ranked, its intervals, and the page in a browser."""

import csv
import gzip
import io
import json
import re
import subprocess

import numpy as np
import pytest
from builders import checked_pages

from harness.errors import BenchmarkError
from report import leaderboard
from report.leaderboard import Cell
from report.tables import published_values
from report.writers import site

HOSTILE = '<img src=x onerror="window.hacked = 1"> & "q"'
QUERIES = 40
MIB = 2**20
METHODS = {  # name: label, plugin, mean, deviation over seeds, seeds, entry
    "chance": ("Chance", "chance", 0.1, 0.001, 3, {}),
    "lsh": ("LSH", "lsh", 0.3, 0.02, 3, {}),
    "sh": ("SH", "sh", 0.4, 0.0, 1, {"stochastic": False}),
    "itq.tuned-toy": ("ITQ (tuned)", "itq", 0.61, 0.01, 3, {"tuned": "own"}),
    "best.tuned-toy": (
        *(HOSTILE, "best", 0.62, 0.01, 3),
        {"tuned": "own", "tier": "features", "fidelity": "A", "labels_used": 90},
    ),
    "bgan-released": ("BGAN (released)", "bgan", 0.7, 0.01, 3, {}),
    "bgan-noise": ("BGAN: noise", "bgan", 0.5, 0.01, 3, {}),
    "bgan": ("BGAN", "bgan", 0.8, 0.01, 3, {"keywords": {"encoder": "conv"}}),
}


def write_published(folder, bits=(16, 32), dataset="toy", methods=METHODS, date="2026-11-01"):
    """Write a published folder; every method has these means at all code lengths."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    shared = generator.normal(0, 0.05, QUERIES)
    arrays = {f"{dataset}/pixels/query": np.arange(QUERIES)}
    rows, records, entries = [], [], []
    for name, (label, plugin, mean, deviation, seeds, entry) in methods.items():
        keywords = {} if plugin in ("chance", "lsh", "sh") else {"iterations": 3}
        defaults = {"stochastic": True, "tuned": "", "keywords": keywords, "note": ""}
        entries.append(
            {"name": name, "label": label, "method": plugin, "citation": None} | defaults | entry
        )
        for length in bits:
            for seed in range(seeds):
                values = mean + deviation * (seed - 1) + shared
                arrays[f"{dataset}/pixels/{name}/{length}bit/seed{seed}"] = np.clip(values, 0, 1)
                rows.append([dataset, "pixels", name, length, seed, "pixels", date])
                records.append(record(name, length, seed, date))
    np.savez(folder / "average_precision.npz", **arrays)
    with gzip.open(folder / "runs.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in records)
    with open(folder / "runs.csv", "w", newline="") as file:
        header = ["dataset", "features", "variant", "bits", "seed", "encoder", "date"]
        csv.writer(file).writerows([header, *rows])
    (folder / "experiment.json").write_text(json.dumps(experiment(dataset, entries)))
    rows = ["Exact cosine,0.66", "Product quantisation,0.7"]
    lines = ["Panel,Method,16 bits", *(f'"Toy, Pixels",{row}' for row in rows)]
    (folder / "map.csv").write_text("\n".join([*lines, ""]))
    return folder


def record(name, bits, seed, date):
    made_of = {"params": {}, "split": "ab" * 32, "features": "cd" * 32, "sources": {name: "ast1:0"}}
    return {
        "made_of": made_of,
        "fit_seconds": 1.5,
        "peak_memory_mib": 40,
        "python": "3.11",
        "versions": {"numpy": "2"},
        "machine": {"processor": "EPYC"},
        "device": "cpu",
        "repeats": "bit for bit",
        "commit": "c0ffee" * 6,
        "date": date,
        "codes_sha256": f"{bits:02}{seed:02}" * 16,
    }


def experiment(dataset, methods):
    data = {
        "label": "Toy",
        "protocol": "default",
        "classes": 10,
        "sizes": {"query": QUERIES, "database": 90, "train": 90},
        "rules": [{"rule": "drawn", "source": "ours"}],
        "split_sha256": "ab" * 32,
        "citation": "krizhevsky2009learning",
    }
    return {
        "methods": methods,
        "controls": [
            {"name": "exact-cosine", "label": "Exact cosine"},
            {"name": "pq", "label": "Product quantisation"},
        ],
        "grid": [[dataset, "pixels"]],
        "datasets": {dataset: data},
        "features": {f"{dataset}/pixels": {"label": "Pixels", "note": "", "dimensions": 4}},
        "tried": {"toy": {"methods": {"itq": {"trials": [1, 2, 3]}}}},
        "metric_version": 5,
        "configfiles": [],
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_published(folder / "toy")
    return folder


@pytest.fixture(scope="module")
def board(published):
    return leaderboard.build(published)


def cell(mean, seeds=3, deviation=0.0, queries=200, spread=0.1, stochastic=True, noise=0):
    generator = np.random.default_rng(noise)
    of_queries = mean + spread * generator.standard_normal(queries)
    offsets = deviation * (np.arange(seeds) - (seeds - 1) / 2)
    values = of_queries - of_queries.mean() + mean + offsets[:, None]
    method = {"stochastic": stochastic}
    return Cell(("toy", "pixels", str(mean), 8), method, "toy", [{}] * seeds, values)


def standings(cells, draws=4000):
    observed = np.array([one.of_queries.mean() for one in cells])
    p = leaderboard.p_values(cells, leaderboard.drawn_means(cells, draws))
    return leaderboard.ranked(observed, p)


# Ranks


def test_ranks_follow_the_means_and_distant_methods_are_certain():
    ranked = standings([cell(0.2), cell(0.6, noise=1), cell(0.4, noise=2)])
    assert [(one.rank, one.low, one.high) for one in ranked] == [(3, 3, 3), (1, 1, 1), (2, 2, 2)]


def test_methods_that_queries_cannot_separate_share_the_best():
    ranked = standings([cell(0.500), cell(0.501, noise=1), cell(0.2, noise=2)])
    assert [one.low == 1 for one in ranked] == [True, True, False]
    assert [(one.low, one.high) for one in ranked] == [(1, 2), (1, 2), (3, 3)]


def test_a_difference_between_two_rows_is_not_enough_among_many():
    """A pair that two rows alone would separate: p is between 0.05 / 45 and 0.05."""
    shift = 0.1 / 200**0.5 * 2**0.5 * 2.5
    pair = [cell(0.5), cell(0.5 + shift, noise=1)]
    assert [one.low == 1 for one in standings(pair)] == [False, True]
    far = [cell(0.1 + index / 100, noise=2 + index) for index in range(8)]
    many = standings([*pair, *far])
    assert [one.low == 1 for one in many[:2]] == [True, True]
    assert not any(one.low == 1 for one in many[2:])


def test_the_smallest_p_value_is_significant_after_a_correction_for_all_pairs():
    draws = len(leaderboard.drawn_means([cell(0.5)] * 10, draws=1))
    assert 45 / (1 + draws) < leaderboard.LEVEL


def test_rank_intervals_follow_from_the_significant_pairs():
    """A counted example: 0.9 is above both others, which p does not separate."""
    p = np.array([[1, 0.3, 0.01], [0.3, 1, 0.02], [0.01, 0.02, 1]])
    ranked = leaderboard.ranked(np.array([0.4, 0.5, 0.9]), p)
    assert [(one.rank, one.low, one.high) for one in ranked] == [(3, 2, 3), (2, 2, 3), (1, 1, 1)]
    p[0, 2] = p[2, 0] = 0.04  # 0.02 * 3 and 0.04 * 2 after correction
    ranked = leaderboard.ranked(np.array([0.4, 0.5, 0.9]), p)
    assert [(one.low, one.high) for one in ranked] == [(1, 3), (1, 3), (1, 3)]


def test_queries_are_paired():
    """The same queries, shifted: their spread over queries does not enter the difference."""
    ranked = standings([cell(0.50, spread=0.3), cell(0.51, spread=0.3)])
    assert [one.low == 1 for one in ranked] == [False, True]


def test_a_spread_over_seeds_widens_the_rank_although_queries_are_certain():
    ranked = standings([cell(0.50, deviation=0.05, spread=0), cell(0.52, deviation=0.05, spread=0)])
    assert [one.low == 1 for one in ranked] == [True, True]


def test_a_random_method_with_one_seed_is_not_called_worse():
    (one, _) = standings([cell(0.2, seeds=1), cell(0.6)])
    assert one.low == 1
    (one, _) = standings([cell(0.2, seeds=1, stochastic=False), cell(0.6)])
    assert one.low > 1


@pytest.mark.parametrize("methods", [2, 8])
def test_equal_methods_are_rarely_called_different(methods):
    """Rankings in which all methods have the same mean, and three seeds at two code lengths.

    A method that is much worse is found in most of them.
    """
    generator = np.random.default_rng(3)
    experiments, wrong, found = 100, 0, 0
    for _ in range(experiments):
        cells = []
        for bits in (8, 16):
            for name in range(methods + 1):
                mean = 0.5 if name < methods else 0.2
                of_queries = generator.normal(mean, 0.1, 100)
                values = of_queries + generator.normal(0, 0.02, (3, 1))
                key = ("toy", "pixels", str(name), bits)
                cells.append(Cell(key, {"stochastic": True}, "toy", [{}] * 3, values))
        leaderboard._pool_variances(cells)
        *equal, worse = standings(cells[: methods + 1], draws=2000)
        wrong += not all(one.low == 1 for one in equal)
        found += worse.low > 1
    assert wrong <= 11, "twice the nominal rate of 5 %"
    assert found > experiments / 2


def test_the_interval_is_near_that_of_a_normal_mean():
    one = cell(0.5, seeds=1, stochastic=False, queries=400, spread=0.2)
    low, high = leaderboard.interval(leaderboard.drawn_means([one])[:, 0])
    half = 1.96 * one.of_queries.std(ddof=1) / 20
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert low < 0.5 < high


def test_the_variance_over_seeds_is_pooled_over_code_lengths():
    cells = [cell(0.5, deviation=deviation) for deviation in (0.01, 0.03)]
    leaderboard._pool_variances(cells[:1])
    assert cells[0].variance == pytest.approx(0.01**2)
    cells[1].key = (*cells[0].key[:3], 16)
    leaderboard._pool_variances(cells)
    assert cells[0].variance == pytest.approx((0.01**2 + 0.03**2) / 2)
    assert cells[0].freedom == 4
    assert cells[1].variance == pytest.approx(0.03**2)
    assert cells[1].freedom == 2


# The vote


def test_the_vote_is_that_of_a_count_of_duels():
    """Six candidates in three rankings, with two equal means, against a count of all duels."""
    generator = np.random.default_rng(8)
    rankings, rows = {}, []
    for bits in (8, 16, 32):
        means = generator.random(6).round(1)
        means[1] = means[0]
        order = np.argsort(-means)
        rankings[f"toy|{bits}|frozen|tuned"] = [[len(rows) + index, 0, 0, 0] for index in order]
        rows += [{"variant": f"m{name}.tuned-toy", "mean": mean} for name, mean in enumerate(means)]
    facet = "toy|16|frozen|tuned"
    vote = leaderboard.votes(rankings, rows)[facet]
    assert vote["voters"] == list(rankings)
    for (index, *_), share in zip(rankings[facet], vote["points"], strict=True):
        name = rows[index]["variant"]
        points = 0
        for first in range(0, 18, 6):
            own = next(row["mean"] for row in rows[first : first + 6] if row["variant"] == name)
            for rival in rows[first : first + 6]:
                if rival["variant"] != name:
                    points += 1 if own > rival["mean"] else 0.5 if own == rival["mean"] else 0
        assert share == pytest.approx(points / 15)


def test_only_complete_rankings_of_the_same_kind_vote():
    rows = [
        *({"variant": name, "mean": mean} for name, mean in (("a", 0.3), ("b.tuned-x", 0.2))),
        *({"variant": name, "mean": mean} for name, mean in (("b.tuned-y", 0.9), ("a", 0.1))),
        {"variant": "c", "mean": 0.95},
    ]
    small, large = [[0, 1, 1, 1], [1, 2, 2, 2]], [[4, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]
    rankings = {
        "x|8|frozen|tuned": small,
        "y|8|frozen|tuned": large,
        "y|8|any|tuned": large,
        "y|8|frozen|default": large,
    }
    votes = leaderboard.votes(rankings, rows)
    assert votes["x|8|frozen|tuned"] == {
        "voters": ["x|8|frozen|tuned", "y|8|frozen|tuned"],
        "points": [0.5, 0.5],
    }
    assert votes["y|8|frozen|tuned"]["voters"] == ["y|8|frozen|tuned"], "x has no c"
    assert votes["y|8|frozen|tuned"]["points"] == [1, 0.5, 0]


# What is ranked


def names(board, facet):
    return [board["rows"][entry[0]]["variant"] for entry in board["rankings"][facet]]


def test_a_facet_ranks_its_rows_only(board):
    assert names(board, "toy/pixels|32|frozen|tuned") == [
        "best.tuned-toy",
        "itq.tuned-toy",
        "sh",
        "lsh",
    ]
    assert names(board, "toy/pixels|32|any|default")[0] == "bgan"
    everywhere = {name for facet in board["rankings"] for name in names(board, facet)}
    assert not everywhere & {"chance", "bgan-released", "bgan-noise"}


def test_a_method_that_reads_views_is_in_a_ranking_of_its_own(tmp_path):
    crovca = {"crovca": ("CroVCA", "crovca", 0.9, 0.01, 3, {"tier": "views"})}
    itq = {"itq-views": ("ITQ, views", "itq", 0.85, 0.01, 3, {"fitted_on": "views"})}
    sgh = {"sgh": ("SGH", "sgh", 0.7, 0.01, 3, {"tier": "features"})}
    write_published(tmp_path / "toy", methods=METHODS | crovca | itq | sgh)
    board = leaderboard.build(tmp_path)
    assert names(board, "toy/pixels|32|frozen|default")[0] == "sgh"
    assert names(board, "toy/pixels|32|views|default")[:3] == ["crovca", "itq-views", "sgh"]
    assert names(board, "toy/pixels|32|any|default")[:3] == ["crovca", "itq-views", "bgan"]
    assert "toy/pixels|32|views|tuned" not in board["rankings"], "no row reads views"


def test_runs_of_one_source_are_one_reported_entry():
    reported = leaderboard._reported({"cifar10"})
    values = [value for value in published_values.read() if value.dataset == "cifar10"]
    assert sum(entry["runs"] for entry in reported) == len(values)
    several = next(entry for entry in reported if entry["runs"] == 6 and entry["bits"] == 32)
    of_source = [
        value.value
        for value in values
        if (value.method, value.bits) == (several["method"], 32) and value.run
    ]
    assert (several["low"], several["high"]) == (min(of_source), max(of_source))
    assert leaderboard._reported({"digits"}) == []


def test_a_facet_without_rows_of_its_settings_does_not_exist(board):
    assert "toy/pixels|32|frozen|default" not in board["rankings"]
    assert "toy/pixels|32|trained|default" not in board["rankings"], "one row is no ranking"


def test_a_row_has_its_record(board):
    row = next(row for row in board["rows"] if row["variant"] == "itq.tuned-toy")
    assert (row["trials"], row["settings"], row["encoder"]) == (3, "tuned", "frozen")
    assert [seed["value"] for seed in row["seeds"]] == pytest.approx(
        [row["mean"] - 0.01, row["mean"], row["mean"] + 0.01]
    )
    assert row["low"] < row["mean"] < row["high"]
    assert row["seeds"][1]["codes"] == "1601" * 16
    assert board["sources"][row["record"]["sources"]] == {"itq.tuned-toy": "ast1:0"}


def test_controls_without_quantised_features_come_from_the_table(board):
    (task,) = board["tasks"]
    assert task["controls"] == {"Exact cosine": 0.66}


def test_the_newest_of_two_folders_with_a_cell_counts(tmp_path):
    write_published(tmp_path / "a", date="2026-11-02")
    old = {
        name: (label, plugin, 0.05, *rest) for name, (label, plugin, _, *rest) in METHODS.items()
    }
    write_published(tmp_path / "b", methods=old, date="2026-11-01")
    rows = leaderboard.build(tmp_path)["rows"]
    assert len(rows) == 2 * len(METHODS)
    assert {row["record"]["folder"] for row in rows} == {"a"}


def test_a_folder_without_the_precision_of_queries_is_named(published, tmp_path):
    write_published(tmp_path / "whole")
    write_published(tmp_path / "older")
    (tmp_path / "older/average_precision.npz").unlink()
    assert leaderboard.build(tmp_path)["left_out"] == ["older"]
    (tmp_path / "whole/average_precision.npz").unlink()
    with pytest.raises(BenchmarkError, match="average_precision"):
        leaderboard.build(tmp_path)


def test_the_published_results_make_a_small_page(tmp_path):
    page = site.write(tmp_path)
    text = page.read_text(encoding="utf-8")
    board = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(text.encode()) * 25 / len({row["method"] for row in board["rows"]}) < 3 * MIB
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    for row in board["rows"]:
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 1


# The page


REPORTED = [
    {
        "plugin": "toy",
        "protocol": "",
        "method": HOSTILE,
        "features": "GIST",
        "metric": "map@1000",
        "bits": bits,
        "low": 0.25,
        "high": 0.5,
        "runs": 6,
        "qualifier": "about",
        "status": "withdrawn",
        "source": source,
        "note": HOSTILE,
    }
    for bits, source in ((32, "https://example.org/a"), (16, "javascript:hacked = 1"))
]


@pytest.fixture(scope="module")
def page_file(board, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    path.write_text(site.render(board | {"reported": REPORTED}), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, page_file):
    yield from checked_pages(browser, page_file.as_uri(), r"file:.*leaderboard\.html|data:|blob:")


def shown(page):
    return page.locator("tbody .who").all_inner_texts()


def test_the_page_opens_with_the_tuned_ranking_and_groups_the_best(opened):
    page = opened()
    assert shown(page) == [HOSTILE, "ITQ (tuned)", "SH", "LSH", "BGAN (released)"]
    assert page.locator("tbody.beside .who").all_inner_texts() == ["BGAN (released)"]
    assert "settings=tuned" in page.url
    assert "bits=32" in page.url


def test_the_page_opens_with_measurements_of_the_present_metrics(tmp_path, browser):
    """A tuned ranking of earlier metrics is not the first that a reader sees.

    A row of earlier metrics that is not ranked does not count for the ranking.
    """
    untuned = {name: entry for name, entry in METHODS.items() if ".tuned" not in name}
    untuned["itq"] = ("ITQ (default)", "itq", 0.6, 0.01, 3, {})
    ablation = {"bgan-noise": untuned.pop("bgan-noise")}
    fewer = {name: untuned[name] for name in ("chance", "lsh", "itq")}
    folder = tmp_path / "published"
    write_published(folder / "present", methods=untuned)
    write_published(folder / "small", dataset="a-small-one", methods=fewer)
    for earlier in (
        write_published(folder / "tuned", dataset="aged"),
        write_published(folder / "ablation", methods=ablation),
    ):
        facts = json.loads((earlier / "experiment.json").read_text()) | {"metric_version": 4}
        (earlier / "experiment.json").write_text(json.dumps(facts))

    path = tmp_path / "leaderboard.html"
    path.write_text(site.render(leaderboard.build(tmp_path / "published")), encoding="utf-8")
    for page in checked_pages(browser, path.as_uri(), r"file:.*leaderboard\.html|data:|blob:"):
        opened = page()
        assert "task=toy%2Fpixels" in opened.url
        assert "settings=default" in opened.url
        assert "earlier version" not in opened.locator("main").inner_text()


def test_sorting_a_column_stays_inside_the_groups(opened):
    page = opened()
    page.click('[data-sort="method"]')
    assert page.locator("tbody.below .who").all_inner_texts() == ["LSH", "SH"]
    page.click('[data-sort="method"]')
    assert page.locator("tbody.below .who").all_inner_texts() == ["SH", "LSH"]
    assert page.locator('th[aria-sort="descending"]').inner_text() == "Method"


def test_a_filter_and_hidden_columns_are_in_the_address_and_come_back(opened):
    page = opened()
    page.get_by_label("Filter methods").fill("itq")
    page.get_by_text("Columns").click()
    page.get_by_label("Training time").uncheck()
    assert shown(page) == ["ITQ (tuned)"]
    query = page.url.partition("?")[2]
    again = opened(f"?{query}")
    assert shown(again) == ["ITQ (tuned)"]
    assert again.locator('[data-sort="fit"]').count() == 0
    assert again.locator('[data-sort="seeds"]').count() == 1


def test_the_vote_has_a_column_that_sorts_and_names_its_voters(opened):
    page = opened()
    page.click('[data-sort="borda"]')
    assert page.locator('th[aria-sort="descending"]').inner_text() == "Borda"
    assert shown(page)[:2] == [HOSTILE, "ITQ (tuned)"]
    assert page.locator("tbody.best tr.row td.number").first.inner_text() == "1.00"
    assert "Toy, Pixels (16, 32 bits)" in page.locator("#ranking").inner_text()
    page.locator('[data-record="lsh"]').click()
    assert "0.000 of all points in 2 rankings" in page.locator("dialog").inner_text()


def test_the_copied_link_opens_the_same_view(opened):
    page = opened("?bits=16&q=itq", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("document.getElementById('toast').classList.contains('shown')")
    address = page.evaluate("navigator.clipboard.readText()").partition("?")[2]
    again = opened(f"?{address}")
    assert shown(again) == ["ITQ (tuned)"]
    assert again.get_by_label("16", exact=True).is_checked()


def test_all_rows_state_why_they_are_not_ranked(opened):
    page = opened("?all=1")
    text = page.locator("tbody.beside").inner_text()
    assert "ablation, not ranked" in text
    assert "trains its encoder" in text
    assert "Chance" not in text


def test_a_facet_changes_the_ranking(opened):
    page = opened()
    page.get_by_label("All", exact=True).check(force=True)
    assert page.locator("tbody.best .who").all_inner_texts() == ["BGAN"]
    assert "encoder=any" in page.url
    assert "settings=default" in page.url


def test_an_unknown_address_opens_the_default_view(opened):
    page = opened("?task=no/such&bits=7&encoder=x&settings=y&sort=z&record=w")
    assert len(shown(page)) == 5


def test_a_number_opens_its_record_and_the_address_leads_to_it(opened):
    page = opened()
    page.locator('[data-record="itq.tuned-toy"]').click()
    record = page.locator("dialog")
    text = record.inner_text()
    expected_texts = ("ITQ (tuned)", "3202320232023202", "c0ffee", "numpy 2", "3 trials", "ab" * 32)
    for expected in (*expected_texts, "4.5 to train all seeds"):
        assert expected in text
    assert "record=itq.tuned-toy" in page.url
    page.keyboard.press("Escape")
    # The event of a closed dialog comes later than the key.
    page.wait_for_function("document.activeElement.dataset.record === 'itq.tuned-toy'")
    assert "record=" not in page.url
    assert opened("?record=sh").locator("dialog[open] h2").inner_text() == "SH"
    text = opened("?record=best.tuned-toy").locator("dialog").inner_text()
    assert "A: equals the authors' code numerically" in text
    assert "90, to choose the settings" in text


def test_reported_values_are_beside_the_ranking_and_only_addresses_are_links(opened):
    page = opened()
    page.get_by_text("Reported elsewhere: 1 value at 32 bits").click()
    (cells,) = page.locator(".reported tbody tr").all()
    text = cells.inner_text()
    for expected in (
        "about 0.250",
        "0.500",
        "6 runs",
        "map@1000",
        "not stated",
        "withdrawn",
        HOSTILE,
    ):
        assert expected in text
    assert cells.locator("a").get_attribute("href") == "https://example.org/a"
    page = opened("?bits=16")
    page.get_by_text("Reported elsewhere").click()
    assert page.locator(".reported a").count() == 0


def test_a_phone_has_a_menu_of_orders(opened):
    page = opened(viewport={"width": 390, "height": 800})
    page.get_by_label("Sort by").select_option("method")
    assert page.locator("tbody.below .who").all_inner_texts() == ["LSH", "SH"]
    assert "sort=method" in page.url


def download(page, button):
    with page.expect_download() as saved:
        page.get_by_role("button", name=button, exact=True).click()
    return saved.value


def test_downloads_have_the_rows_that_are_shown(opened, tmp_path):
    page = opened("?q=tuned")
    saved = download(page, "CSV")
    assert saved.suggested_filename == "leaderboard-toy-pixels-32bit.csv"
    rows = list(csv.DictReader(io.StringIO(saved.path().read_text(encoding="utf-8"))))
    assert [row["variant"] for row in rows] == ["best.tuned-toy", "itq.tuned-toy"]
    assert rows[0]["method"] == HOSTILE
    assert rows[0]["split_sha256"] == "ab" * 32
    assert "@" in download(page, "BibTeX").path().read_text(encoding="utf-8")
    source = download(page, "LaTeX").path().read_text(encoding="utf-8")
    assert r"\& " in source
    assert source.count(r"\\") == 3


def test_the_latex_table_compiles(opened, tmp_path):
    import shutil

    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    source = download(opened(), "LaTeX").path().read_text(encoding="utf-8")
    source = re.sub(r"~\\cite\{.*?\}", "", source)
    document = (
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}"
    )
    (tmp_path / "a.tex").write_text(f"{document}\n{source}\\end{{document}}")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout[-800:]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits_a_phone(opened, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for options in ({}, {"viewport": {"width": 390, "height": 800}}):
        page = opened("?all=1", color_scheme=scheme, **options)
        violations = axe.run(page).response["violations"]
        serious = [one["id"] for one in violations if one["impact"] in ("serious", "critical")]
        assert not serious, violations
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator('[data-record="lsh"]').click()
    violations = axe.run(page).response["violations"]
    assert not [one["id"] for one in violations if one["impact"] in ("serious", "critical")], (
        violations
    )


def test_the_theme_can_be_chosen(opened):
    page = opened(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(background) != light


def test_the_rows_can_be_read_without_a_script(opened):
    page = opened(java_script_enabled=False)
    assert "ITQ (tuned)" in page.locator("noscript table").inner_text()
