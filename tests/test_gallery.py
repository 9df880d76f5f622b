"""Retrieved images and code statistics on the page, against arrays made here."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from builders import DIGITS, METHODS, Page, picture, write_results
from PIL import Image

from evaluation import inspection
from evaluation.histograms import hamming
from evaluation.relevance import Relevance
from harness.errors import BenchmarkError
from report import __main__ as command
from report import results
from report.figures import gallery, plots
from report.writers import html

QUERIES, DATABASE = 30, 200


def experiment(
    root, *, side=8, methods=METHODS, bits=(16, 32), grid=(DIGITS,), images=True, **options
):
    """Write results with images, and histograms.npz of every method as the scoring job does.

    `root` must be the working directory.
    """
    folder = write_results(root / "results", methods=methods, bits=bits, grid=grid, **options)
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, QUERIES + DATABASE)
    relevance = Relevance.of(labels[:QUERIES], labels[QUERIES:])
    for pair in grid:
        cache = root / "cache/datasets" / pair[0]
        cache.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (QUERIES + DATABASE, side, side, 3), dtype=np.uint8)
        np.save(cache / "images.npy", pixels if images else pixels[:, :0, :0])
        for name, _, _, stochastic in methods:
            arrays = {"inspected": inspection.chosen(QUERIES)}
            for length, seed in [
                (length, seed) for length in bits for seed in ((0, 1, 2) if stochastic else (0,))
            ]:
                packed = np.packbits(random.random((QUERIES + DATABASE, length)) < 0.5, axis=1)
                codes = packed[:QUERIES], packed[QUERIES:]
                inspected = inspection.inspect(
                    *codes, length, relevance, *hamming(*codes, length, relevance)
                )
                inspected["first"] = inspected["first"] + QUERIES
                prefix = f"{length}bit/seed{seed}"
                arrays |= {f"{prefix}/{key}": array for key, array in inspected.items()}
            score_folder = folder / "scores" / pair[0] / pair[1] / name
            score_folder.mkdir(parents=True, exist_ok=True)
            np.savez(score_folder / "histograms.npz", **arrays)
    return folder


def built(folder):
    return gallery.build(results.read(folder), folder)


def section(shown):
    """The HTML of the page's part on retrieved images and codes."""
    return (
        html.environment()
        .get_template("gallery.html.j2")
        .render(gallery=shown, gallery_shown=gallery.METHODS)
    )


def test_thumbnails_are_the_images_at_their_positions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (shown,) = built(experiment(tmp_path))
    pixels, sprite = picture(shown.sprite.uri)[..., :3], shown.sprite
    images = np.load("cache/datasets/digits/images.npy")

    def tile(position):
        row, column = divmod(position, gallery.ACROSS)
        top, left = row * sprite.down, column * sprite.across
        return pixels[top : top + sprite.height, left : left + sprite.width]

    rows = shown.data["images"]
    query = shown.data["queries"][3]
    assert rows[query] == inspection.chosen(QUERIES)[3]
    np.testing.assert_array_equal(tile(query), images[rows[query]])
    with np.load(tmp_path / "results/scores/digits/pixels/itq/histograms.npz") as arrays:
        first = arrays["32bit/seed0/first"][3]
    items = shown.data["methods"][2]["lengths"][32]["items"][3]
    assert [rows[position] for position in items] == first.tolist()
    for position in items:
        np.testing.assert_array_equal(tile(position), images[rows[position]])
    assert len(set(rows)) == len(rows)  # each image once


def test_the_arrays_are_those_of_the_first_done_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = experiment(
        tmp_path,
        broken={("itq", 16, 0): "failed"} | {("bgan", 32, seed): "missing" for seed in range(3)},
    )
    (shown,) = built(folder)
    methods = {method["label"]: method["lengths"] for method in shown.data["methods"]}
    with np.load(folder / "scores/digits/pixels/itq/histograms.npz") as arrays:
        assert methods["ITQ"][16]["distances"] == arrays["16bit/seed1/first_distance"].tolist()
        assert (
            methods["ITQ"][32]["relevant"]
            == arrays["32bit/seed0/first_relevant"].astype(int).tolist()
        )
        pairs = arrays["32bit/seed0/pairs"]
    np.testing.assert_allclose(
        methods["ITQ"][32]["pairs"], pairs / pairs.sum(axis=1, keepdims=True), atol=1e-5
    )
    assert list(methods["BGAN"]) == [16]
    with np.load(folder / "scores/digits/pixels/lsh/histograms.npz") as arrays:
        upper = arrays["32bit/seed0/correlation"][np.triu_indices(32, 1)]
    assert base64.b64decode(methods["LSH"][32]["correlation"]) == upper.tobytes()
    off = np.abs(upper.astype(int)) / 100
    assert methods["LSH"][32]["correlated"] == [pytest.approx(off.mean(), abs=1e-3), off.max()]


@pytest.mark.parametrize(("side", "shown"), [(8, 8), (28, 28), (32, 32), (48, 48), (256, 42)])
def test_images_of_any_size_become_thumbnails(tmp_path, monkeypatch, side, shown):
    monkeypatch.chdir(tmp_path)
    (gallery_data,) = built(experiment(tmp_path, side=side, methods=METHODS[:2], bits=(16,)))
    assert (gallery_data.sprite.width, gallery_data.sprite.height) == (shown, shown)
    lossless = side <= gallery.LOSSLESS
    assert gallery_data.sprite.uri.startswith(f"data:image/{'png' if lossless else 'jpeg'};base64,")
    assert lossless or gallery_data.sprite.across % gallery.BLOCK == 0
    decoded = Image.open(io.BytesIO(base64.b64decode(gallery_data.sprite.uri.partition(",")[2])))
    assert decoded.size[0] == gallery.ACROSS * gallery_data.sprite.across


def test_a_large_image_is_the_mean_of_its_squares():
    image = np.random.default_rng(0).integers(0, 256, (100, 60, 3), dtype=np.uint8)
    small = gallery._thumbnail(image)
    assert small.shape == (33, 20, 3)
    np.testing.assert_allclose(small[4, 5], image[12:15, 15:18].mean(axis=(0, 1)), atol=0.5)


def test_thumbnails_stay_within_their_budget(tmp_path, monkeypatch):
    """Noise, which nothing packs: fewer queries are shown, never none, and two data sets share."""
    monkeypatch.chdir(tmp_path)
    folder = experiment(tmp_path, side=32, grid=(DIGITS, ("cifar10", "gist")))
    counts = {}
    for budget in (10_000_000, 250_000, 1):
        monkeypatch.setattr(gallery, "SPRITES", budget)
        shown = built(folder)
        counts[budget] = [len(item.data["queries"]) for item in shown]
        assert sum(len(item.sprite.uri) for item in shown) <= max(budget, 400_000)
        assert all(
            len(length["items"]) == len(shown[0].data["queries"])
            for length in shown[0].data["methods"][0]["lengths"].values()
        )
    assert counts[10_000_000] == [inspection.QUERIES] * 2
    assert 1 <= counts[250_000][0] < inspection.QUERIES
    assert counts[1] == [1, 1]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [("prepared", "prepared without images"), ("absent", "images.npy does not exist")],
)
def test_a_data_set_without_images_states_it(tmp_path, monkeypatch, spoil, reason):
    monkeypatch.chdir(tmp_path)
    folder = experiment(tmp_path, images=spoil != "prepared")
    if spoil == "absent":
        Path("cache/datasets/digits/images.npy").unlink()
    (shown,) = built(folder)
    assert shown.sprite is None
    assert reason in shown.no_images
    text = " ".join("".join(Page(section([shown])).text).split())
    assert f"Digits, Pixels: no images, since {shown.no_images}." in text


def test_scores_without_such_arrays_have_no_section(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert built(plain.parent) == []
    assert not {"gallery", "code-statistics"} & set(Page(plain / "index.html").ids)
    folder = experiment(tmp_path)
    for path in (folder / "scores").rglob("histograms.npz"):
        np.savez(path, query=np.arange(3))  # as of before
    assert built(folder) == []


def test_an_experiment_without_a_finished_run_has_no_gallery(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = {
        (name, bits, seed): "missing"
        for name, *_ in METHODS
        for bits in (16, 32)
        for seed in (0, 1, 2)
    }
    assert built(experiment(tmp_path, broken=missing)) == []


def test_a_damaged_file_is_one_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = experiment(tmp_path)
    path = folder / "scores/digits/pixels/itq/histograms.npz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(
        BenchmarkError,
        match=r"histograms\.npz cannot be read .*: delete it and rerun the command",
    ):
        built(folder)


def test_a_selection_that_excludes_methods_states_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gallery, "METHODS", 3)
    shown = built(experiment(tmp_path, bits=(16,)))
    assert len(shown[0].data["methods"]) == 3
    text = " ".join("".join(Page(section(shown)).text).split())
    assert f"At most the first {gallery.METHODS} methods are shown" in text


def test_hostile_names_stay_text_in_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    label = "</script><script>alert(1)</script> & \"q\" 'q'"
    text = section(built(experiment(tmp_path, methods=[("odd", label, 0.3, True)])))
    start = text.index('class="gallery-data"')
    data = text[text.index(">", start) + 1 : text.index("</script>", start)]
    assert json.loads(data)["methods"][0]["label"] == label


# In a browser


@pytest.fixture
def report(build_once, monkeypatch):
    """The page of two data sets, the second without images."""

    def write(root):
        root.mkdir()
        monkeypatch.chdir(root)
        monkeypatch.setattr(plots, "draw", lambda *_: [])
        folder = experiment(root, grid=(DIGITS, ("cifar10", "gist")))
        np.save(
            "cache/datasets/cifar10/images.npy", np.zeros((QUERIES + DATABASE, 0, 0, 3), np.uint8)
        )
        command.write(folder, folder / "report")

    root = build_once("gallery", write)
    monkeypatch.chdir(root)
    return root / "results", built(root / "results")


@pytest.fixture
def opened(report, browser):
    """The page in a browser, which at the end has reported no error."""
    context, messages = browser.new_context(), []
    opened = context.new_page()
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.goto((report[0] / "report/index.html").as_uri())
    opened.wait_for_selector(".retrieved tbody tr")
    yield opened
    context.close()
    assert not messages


def marks(opened):
    """What is printed below the items: label of the method -> [(right, distance)]."""
    marks_of_row = """(row) => [...row.querySelectorAll(".item")].map((cell) =>
        [cell.querySelector(".mark").firstChild.textContent,
         Number(cell.querySelector("small").textContent)])"""
    rows = opened.locator(".retrieved tbody tr")
    return {
        row.locator("th").evaluate("(cell) => cell.firstChild.textContent"): row.evaluate(
            marks_of_row
        )
        for row in rows.all()
    }


def expected(report, dataset, bits, query):
    (_, shown) = report
    lengths = {
        method["label"]: method["lengths"][bits] for method in shown[dataset].data["methods"]
    }
    return {
        label: [
            ["✓" if right else "✗", distance]
            for right, distance in zip(
                length["relevant"][query], length["distances"][query], strict=True
            )
        ]
        for label, length in lengths.items()
    }


def test_pickers_choose_length_query_and_data_set(report, opened):
    assert marks(opened) == expected(report, 0, 32, 0)
    opened.locator("#gallery select[data-picks=bits]").select_option("16")
    assert marks(opened) == expected(report, 0, 16, 0)
    assert opened.locator("#code-statistics select[data-picks=bits]").input_value() == "16"
    opened.locator(".queries button").nth(5).press("Enter")
    assert marks(opened) == expected(report, 0, 16, 5)
    assert opened.locator(".queries button[aria-pressed=true]").count() == 1
    before = opened.locator(".status").inner_text()
    opened.locator(".random").click()
    assert opened.locator(".status").inner_text() != before
    opened.locator("#code-statistics select[data-picks=dataset]").select_option("1")
    assert marks(opened) == expected(report, 1, 16, 0)
    assert opened.locator(".retrieved canvas").count() == 0  # no images there
    opened.locator("#gallery select[data-picks=dataset]").select_option("0")
    assert opened.locator(".retrieved canvas").count() == 1 + 10 * len(METHODS)


def test_a_thumbnail_shows_the_pixels_of_its_image(report, opened):
    opened.locator("#gallery select[data-picks=dataset]").select_option("0")
    opened.locator(".queries button").nth(2).click()
    bits = int(opened.locator("#gallery select[data-picks=bits]").input_value())
    data = report[1][0].data
    item = data["images"][data["methods"][1]["lengths"][bits]["items"][2][4]]
    image = np.load(report[0].parent / "cache/datasets/digits/images.npy")[item]
    read = """(canvas) => [canvas.width, ...canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data]"""
    width, *read_pixels = (
        opened.locator(".retrieved tbody tr").nth(1).locator("canvas").nth(4).evaluate(read)
    )
    pixels = np.array(read_pixels, np.uint8).reshape(width, width, 4)[..., :3]
    np.testing.assert_array_equal(pixels, np.kron(image, np.ones((8, 8, 1), np.uint8)))


def test_statistics_have_a_card_a_method_with_exact_values(report, opened):
    opened.locator("#gallery select[data-picks=dataset]").select_option("0")
    opened.locator("#gallery select[data-picks=bits]").select_option("32")
    assert opened.locator(".code-cards h3").all_inner_texts() == [label for _, label, *_ in METHODS]
    length = report[1][0].data["methods"][0]["lengths"][32]
    title = (
        opened.locator(".code-cards li")
        .first.locator("svg")
        .first.locator("rect title")
        .nth(15)
        .text_content()
    )
    relevant, others = (100 * share[15] for share in length["pairs"])
    assert (
        title == f"distance 15: {relevant:.1f} % of relevant pairs, {others:.1f} % of other pairs"
    )


def test_a_method_that_the_legend_hides_is_hidden_here_too(opened):
    """Build a legend entry by hand, since the fixture draws no plots, and hide its series."""
    opened.evaluate("""() => {
        const legend = document.body.appendChild(document.createElement("ul"));
        legend.className = "legend";
        legend.innerHTML = '<li><button data-name="itq" aria-pressed="false">ITQ</button></li>';
    }""")
    opened.locator("#gallery select[data-picks=dataset]").select_option("0")
    for bits in ("16", "32"):
        opened.locator("#gallery select[data-picks=bits]").select_option(bits)
        shown = opened.locator(".retrieved tbody tr:visible th").evaluate_all(
            "(cells) => cells.map((cell) => cell.firstChild.textContent)"
        )
        assert (
            shown
            == opened.locator(".code-cards li:visible h3").all_inner_texts()
            == ["LSH", "PCAH", "BGAN"]
        )
