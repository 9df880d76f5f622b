"""Views: augmentations, their job and their place in the plan, and heads that compare two views."""

import argparse
import shutil

import numpy as np
import pytest
import torch
from builders import loaded
from tensors import check_gradient, random_batch
from torch.nn import functional

import features.__main__ as command
from features import _views
from features._views import AugmentedImages
from harness import plugins, records, storage
from harness.errors import BenchmarkError
from harness.plan import Job, Place, Plan, encode_job, views_job
from harness.plugins import ROOT
from harness.stale import State
from harness.variants import Catalogue
from methods import _heads as heads
from methods import _pool, cibhash, crovca
from methods._views import Pairs, contrastive_loss
from methods.sdc_contrastive import SDCContrastive, apart, side_by_side

PLACE = Place("digits", "pixels")
POOL = {"itq-views": {"of": "itq", "fitted_on": "views"}}


@pytest.fixture(scope="module")
def images():
    """Ten images of 24 x 32 pixels without structure."""
    return np.random.default_rng(3).integers(0, 256, (10, 24, 32, 3)).astype(np.uint8)


# Augmentations


def test_every_augmentation_is_described():
    assert plugins.AUGMENTATIONS.keys() == _views.AUGMENTED.keys()


@pytest.mark.parametrize("augmentation", _views.AUGMENTED)
def test_a_view_depends_on_its_image_and_index_alone(images, augmentation):
    train = np.array([7, 2, 5])
    rows = AugmentedImages(images, train, augmentation)
    whole = rows[0 : len(rows)]
    assert whole.shape == (12, 24, 32, 3)
    assert whole.dtype == np.uint8
    blocks = [rows[start : start + 5] for start in range(0, len(rows), 5)]
    assert (np.concatenate(blocks) == whole).all()

    other = images.copy()
    other[2] = 255 - other[2]
    changed = (AugmentedImages(other, train, augmentation)[0:12] != whole).any(axis=(1, 2, 3))
    assert changed.tolist() == [False, True, False] * 4  # row v * 3 + 1 is of image 2


@pytest.mark.parametrize("augmentation", _views.AUGMENTED)
def test_views_of_an_image_differ(images, augmentation):
    views = AugmentedImages(images, np.array([4]), augmentation)[0:4]
    assert len(np.unique(views.reshape(4, -1), axis=0)) == 4


def test_crops_lie_in_the_image_and_have_their_share_of_it():
    generator = np.random.default_rng(0)
    boxes = np.array([_views.crop_box(100, 100, generator) for _ in range(2000)])
    left, top, right, bottom = boxes.T
    assert min(left.min(), top.min()) >= 0
    assert max(right.max(), bottom.max()) <= 100 + 1e-9
    shares = (right - left) * (bottom - top) / 100**2
    assert shares.max() <= 1
    # The lowest share is of a side that was cut: the area would be 0.866 or more.
    uncut = np.maximum(right - left, bottom - top) < 100 - 1e-9
    assert shares[uncut].min() >= 0.5 - 1e-9
    assert shares.mean() == pytest.approx(0.75, abs=0.03)
    aspects = ((right - left) / (bottom - top))[uncut]
    assert aspects.min() == pytest.approx(3 / 4, abs=0.05)
    assert aspects.max() == pytest.approx(4 / 3, abs=0.05)


def test_a_photograph_is_flipped_half_the_time(monkeypatch):
    monkeypatch.setattr(_views, "JITTER", 0.0)
    monkeypatch.setattr(_views, "GREY", 0.0)
    ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 32, axis=0)
    generator = np.random.default_rng(0)
    views = [_views.photograph(ramp.repeat(3, axis=2), generator) for _ in range(400)]
    flipped = np.mean([int(view[0, 0, 0]) > int(view[0, -1, 0]) for view in views])
    assert flipped == pytest.approx(0.5, abs=0.08)


def test_colours_change_as_often_as_declared():
    """Neither a crop nor a flip changes an image of one colour."""
    image = np.full((4, 4, 3), (200, 80, 80), np.uint8)
    generator = np.random.default_rng(4)
    views = [_views.photograph(image, generator) for _ in range(1000)]
    grey = np.mean([np.ptp(view[0, 0]) == 0 for view in views])
    unchanged = np.mean([(view == image).all() for view in views])
    assert grey == pytest.approx(0.2, abs=0.04)
    assert unchanged == pytest.approx(0.3 * 0.8, abs=0.04)


@pytest.mark.parametrize("name", ["BRIGHTNESS", "CONTRAST", "SATURATION"])
def test_each_part_of_the_jitter_scales_its_property_by_up_to_its_strength(name, monkeypatch):
    for other in {"BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"} - {name}:
        monkeypatch.setattr(_views, other, 0.0)
    image = np.full((4, 4, 3), (140, 90, 90), np.uint8)
    image[:2] = (70, 40, 40)
    measures = {
        "BRIGHTNESS": lambda array: array.mean(),
        "CONTRAST": lambda array: array[3].mean() - array[0].mean(),
        "SATURATION": lambda array: np.ptp(array[3, 3]),
    }
    measure, generator = measures[name], np.random.default_rng(4)
    factors = [
        measure(np.array(_views.jittered(_views.Image.fromarray(image), generator), float))
        / measure(image.astype(float))
        for _ in range(300)
    ]
    assert min(factors) == pytest.approx(0.6, abs=0.06)
    assert max(factors) == pytest.approx(1.4, abs=0.06)


def test_the_jitter_changes_the_hue_of_colours_and_not_of_greys():
    grey = np.full((4, 4, 3), 100, np.uint8)
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    generator = np.random.default_rng(1)
    for _ in range(20):
        image = np.asarray(_views.jittered(_views.Image.fromarray(grey), generator))
        assert np.ptp(image) == 0
        assert 60 <= image[0, 0, 0] <= 140  # brightness; contrast and saturation change no grey
    hues = [np.asarray(_views.jittered(_views.Image.fromarray(red), generator)) for _ in range(20)]
    assert any(image[0, 0, 1] > 20 for image in hues)  # towards yellow
    assert any(image[0, 0, 2] > 20 for image in hues)  # towards magenta


def test_a_shift_moves_a_ramp_by_at_most_a_sixteenth_of_the_side(monkeypatch):
    monkeypatch.setattr(_views, "INTENSITY", 0.0)
    ramp = np.repeat(np.arange(32, dtype=np.uint8)[None, :, None] * 8, 32, axis=0)
    image = ramp.repeat(3, axis=2)
    generator = np.random.default_rng(2)
    means = []
    for _ in range(50):
        moved = _views.shifted(image, generator)[16, 4:28, 0].astype(int) - image[16, 4:28, 0]
        assert np.ptp(moved) <= 1
        means.append(moved.mean())
    assert min(means) == pytest.approx(-2 * 8, abs=2)
    assert max(means) == pytest.approx(2 * 8, abs=2)


def test_intensities_are_scaled_by_up_to_a_tenth():
    image, generator = np.full((8, 8, 3), 100, np.uint8), np.random.default_rng(2)
    values = [_views.shifted(image, generator)[0, 0, 0] for _ in range(200)]
    assert (min(values), max(values)) == (90, 110)


# The job


@pytest.fixture
def prepared(finished, tmp_path, monkeypatch):
    """The digits in a folder of their own."""
    shutil.copytree(finished / "cache/datasets", tmp_path / "cache/datasets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_views(folder):
    arguments = argparse.Namespace(
        dataset="digits", features="pixels", entry=None, data=folder, threads=1
    )
    command.views(arguments)


def test_the_job_writes_the_features_of_augmented_training_images(prepared):
    run_views(prepared)
    views = np.load(PLACE.views_array)
    train = np.load(PLACE.split)["train"]
    assert views.shape == (4, len(train), 192)

    rows = AugmentedImages(np.load(PLACE.images), train, "shifts")
    for view, index in ((0, 0), (3, 11)):
        image = rows[view * len(train) + index : view * len(train) + index + 1]
        assert (views[view, index] == image.reshape(-1) / np.float32(255)).all()

    record = storage.read_json(PLACE.views_record)
    assert (record["views"], record["dimensions"]) == (4, 192)
    assert record["operations"] == plugins.AUGMENTATIONS["shifts"]
    assert record["made_of"]["split"] == storage.read_json(PLACE.dataset_record)["split_sha256"]


def test_a_killed_job_resumes_and_gives_the_same_views(prepared, monkeypatch):
    run_views(prepared)
    expected = PLACE.views_array.read_bytes()
    shutil.rmtree(PLACE.features_folder)

    class KilledError(Exception):
        pass

    original, calls = AugmentedImages.__getitem__, []

    def counted(self, rows):
        calls.append(rows.start)
        if len(calls) == 5:
            raise KilledError
        return original(self, rows)

    monkeypatch.setattr(AugmentedImages, "__getitem__", counted)
    monkeypatch.setattr(command, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        run_views(prepared)
    assert not PLACE.views_array.exists()
    run_views(prepared)
    assert calls[4] == calls[5]  # it begins where it was killed
    assert PLACE.views_array.read_bytes() == expected


def test_views_are_out_of_date_if_their_augmentation_changes(prepared, monkeypatch):
    state = State(Plan.load(loaded(methods=["cibhash", "itq"], bits=[12], seeds=[0])))
    assert state.problem(views_job(PLACE)) == "is missing"
    run_views(prepared)

    def problem():
        plan = Plan.load(loaded(methods=["cibhash", "itq"], bits=[12], seeds=[0]))
        return State(plan).problem(views_job(PLACE))

    assert problem() == ""
    digests = records.source_digests

    def changed(stage, name):
        if name == "_views":
            return digests(stage, name) | {"features/_views.py": "ast1:" + "0" * 64}
        return digests(stage, name)

    with monkeypatch.context() as patch:
        patch.setattr(records, "source_digests", changed)
        assert problem() == "features/_views.py changed"
    assert problem() == ""
    pixels = Catalogue().resolve("features", "pixels").plugin
    monkeypatch.setitem(pixels.literals, "augmentation", "photographs")
    monkeypatch.setattr(
        plugins,
        "read_plugin",
        lambda stage, name, read=plugins.read_plugin: (
            pixels if name == "pixels" else read(stage, name)
        ),
    )
    assert problem() == "augmentation was shifts, now photographs"


# The plan


def test_views_are_made_for_the_methods_that_read_them():
    rules = {job.rule for job in Plan.load(loaded(methods=["itq", "sdc"])).jobs()}
    assert "views" not in rules

    for methods in (["cibhash"], ["itq-views"]):
        config = loaded(methods=methods)
        config["variants"]["methods"] |= POOL
        plan = Plan.load(config)
        assert [job for job in plan.jobs() if job.rule == "views"] == [views_job(PLACE)]
        read = [file.path.name for file in plan.inputs(encode_job(plan.runs[0]))]
        assert read[2:] == ["features.npy", "features.json", "views.npy", "views.json"]
        assert views_job(PLACE) in {file.producer for file in plan.inputs(Job("collect"))}


def test_a_pool_is_part_of_the_identity_of_a_run():
    variant = Catalogue({"methods": POOL}).resolve("methods", "itq-views")
    run = Plan.load(loaded(methods=["itq"])).runs[0]
    digests = {"split": "1", "features": "2", "views": "3"}
    pool = records.of_run(run, variant, digests, ROOT)
    alone = records.of_run(run, Catalogue().resolve("methods", "itq"), digests, ROOT)
    assert "methods/_pool.py" in pool.pop("fitted_on")
    assert pool.pop("views") == "3"
    assert pool == alone
    assert "methods/_pool.py" in records.source_digests("methods", "cibhash")
    assert "methods/_pool.py" not in records.source_digests("methods", "itq")


def test_trials_of_a_pool_are_fitted_on_it():
    config = loaded(methods=["itq-views"], trials={"itq": [{"iterations": 5}, {"iterations": 9}]})
    config["variants"]["methods"] |= POOL
    trials = Plan.load(config).methods
    assert [trial.fitted_on for trial in trials.values()] == ["views", "views"]


@pytest.mark.parametrize(
    ("changes", "entries", "message"),
    [
        (
            {"datasets": ["cifar10"], "features": ["googlenet-pca256"], "methods": ["cibhash"]},
            {},
            r"methods: cibhash reads views: features: googlenet-pca256 reads rows from a file, so",
        ),
        (
            {"datasets": ["labels"], "features": ["pixels"], "methods": ["crovca"]},
            {"datasets": {"labels": {"of": "nuswide", "set": {"images": False}}}},
            r"features: pixels reads images, and data set labels has none",
        ),
        (
            {"methods": ["mine"]},
            {"methods": {"mine": {"of": "bgan", "fitted_on": "views"}}},
            r"mine: fitted_on is 'views', expected a method that reads features alone, or declares",
        ),
        (
            {"features": ["mine"]},
            {"features": {"mine": {"of": "pixels", "fitted_on": "views"}}},
            r"variants: features: mine: fitted_on is a key of methods only: remove it",
        ),
    ],
)
def test_what_cannot_have_views_is_refused(changes, entries, message):
    config = loaded(**changes)
    for stage, added in entries.items():
        config["variants"][stage] |= added
    with pytest.raises(BenchmarkError, match=message):
        Plan.load(config)


def test_an_extractor_without_an_augmentation_is_refused(monkeypatch):
    variant = Catalogue().resolve("features", "gist")
    monkeypatch.setitem(variant.plugin.literals, "augmentation", None)
    with pytest.raises(
        BenchmarkError, match=r"^features/gist.py declares no `augmentation`, .* photographs, shift"
    ):
        variant.check_views()


# Rows of views


def test_a_pool_has_the_views_as_rows_one_view_after_the_other():
    views = np.arange(24, dtype=np.float32).reshape(2, 4, 3)

    def fit(features):
        pass

    opened = {"views": views.copy, "features": lambda: np.zeros((4, 3), np.float32)}
    train = np.arange(4)
    pool = _pool.pooled_arrays(fit, opened, train, None, seed=0)
    assert pool["features"].tolist() == views.reshape(8, 3).tolist()
    assert not pool["features"].flags.writeable
    sample = _pool.pooled_arrays(fit, opened, train, 5, seed=0)["features"]
    assert len(np.unique(sample, axis=0)) == 5


def test_a_method_that_reads_views_gets_all_of_them():
    opened = {
        "views": lambda: np.zeros((2, 3, 4), np.float32),
        "features": lambda: np.arange(20, dtype=np.float32).reshape(5, 4),
    }

    def fit(features, views):
        pass

    arrays = _pool.training_arrays(fit, opened, np.array([1, 2, 4]))
    assert arrays["views"].shape == (2, 3, 4)
    assert arrays["features"][:, 0].tolist() == [4, 8, 16]


# Heads


@pytest.fixture(scope="module")
def rows():
    """Three clusters of 40 rows, and four noisy copies of each row."""
    generator = np.random.default_rng(5)
    centres = generator.normal(size=(3, 10)) * 2 + 4
    features = np.repeat(centres, 40, axis=0) + generator.normal(size=(120, 10))
    views = features + generator.normal(scale=0.3, size=(4, 120, 10))
    return {"features": features.astype(np.float32), "views": views.astype(np.float32)}


def test_pairs_are_two_different_views_of_each_row(rows):
    scaling = heads.Scaling(rows["features"], "none")
    batch = torch.arange(120)
    pairs = list(Pairs(rows["views"], scaling, seed=0).of([batch] * 50))
    counts = np.zeros((4, 4))
    for first, second in pairs:
        chosen = [
            (rows["views"] == view.numpy()).all(axis=2).argmax(axis=0) for view in (first, second)
        ]
        assert (rows["views"][chosen[0], batch] == first.numpy()).all()
        np.add.at(counts, tuple(chosen), 1)
    assert counts.diagonal().tolist() == [0] * 4
    assert counts[~np.eye(4, dtype=bool)] == pytest.approx(np.full(12, 500), rel=0.2)


def test_a_single_view_cannot_be_compared(rows):
    with pytest.raises(ValueError, match="views has 1 views of each image: expected at least 2"):
        cibhash.CIBHash(4).fit(rows["features"], rows["views"][:1])


def test_the_contrastive_loss_of_two_images_by_hand():
    """Rows a, b of view 1 and a', b' of view 2: cosines a a' = 1, b b' = 0, and so on."""
    first = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    second = torch.tensor([[2.0, 0.0], [-1.0, 0.0]])
    e = np.exp(1 / 0.5)
    terms = [
        -np.log(e / (1 + e + 1 / e)),  # a: b 0, a' 1, b' -1
        -np.log(1 / (1 + 1 + 1)),  # b: a 0, a' 0, b' 0
        -np.log(e / (e + 1 + 1 / e)),  # a': a 1, b 0, b' -1
        -np.log(1 / (1 / e + 1 + 1 / e)),  # b': a -1, b 0, a' -1
    ]
    assert contrastive_loss(first, second, 0.5).item() == pytest.approx(np.mean(terms))


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0])
def test_the_contrastive_loss_is_the_mean_of_cross_entropies(temperature):
    """Row by row: the cosines with the other rows, of which the partner has to be the largest."""
    first, second = random_batch(5, 6), random_batch(5, 6, seed=1)
    both = torch.cat([first, second])
    losses = []
    for row in range(10):
        others = [index for index in range(10) if index != row]
        cosines = functional.cosine_similarity(both[row][None], both[others])
        partner = torch.tensor(others.index((row + 5) % 10))
        losses.append(functional.cross_entropy(cosines / temperature, partner))
    loss = contrastive_loss(first, second, temperature)
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item())


def test_the_contrastive_loss_has_its_gradient():
    check_gradient(
        lambda first, second: contrastive_loss(first, second, 0.3),
        random_batch(4, 3),
        random_batch(4, 3, seed=1),
    )


def test_cibhash_passes_the_gradient_of_the_codes_to_the_probabilities():
    """The gradient is p (1 - p) times that of the codes: 3 / 16 for p = 3 / 4, 1 / 4 for 1 / 2."""
    logits = torch.tensor([[np.log(3.0), -np.log(3.0), 0.0]], requires_grad=True)
    codes = cibhash.binary(logits)
    assert codes.tolist() == [[1, -1, 1]]
    codes.backward(torch.tensor([[1.0, 2.0, -4.0]]))
    assert logits.grad.numpy() == pytest.approx(np.array([[3 / 16, 6 / 16, -1.0]]))


def test_the_divergence_of_two_bits_by_hand():
    """KL of p = (3/4, 1/2) from q = (1/2, 1/4), in a batch of one and summed over the bits."""
    p = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float64)
    q = torch.tensor([[0.0, -np.log(3.0)]], dtype=torch.float64)
    terms = [
        0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5),
        0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75),
    ]
    assert cibhash.bernoulli_divergence(p, q).item() == pytest.approx(sum(terms))
    assert cibhash.bernoulli_divergence(p.expand(7, 2), q.expand(7, 2)).item() == pytest.approx(
        sum(terms)
    )


def test_the_bottleneck_is_zero_for_equal_probabilities_and_symmetric():
    first, second = random_batch(4, 3), random_batch(4, 3, seed=1)
    assert cibhash.bottleneck_loss(first, first.clone()).item() == pytest.approx(0)
    one, other = cibhash.bottleneck_loss(first, second), cibhash.bottleneck_loss(second, first)
    assert one.item() == pytest.approx(other.item())
    assert one.item() > 0.01


def test_the_divergence_has_its_gradient_with_the_other_view_fixed():
    second = random_batch(4, 3, seed=1)
    check_gradient(lambda first: cibhash.bernoulli_divergence(first, second), random_batch(4, 3))
    fixed = second.clone().requires_grad_()
    assert not cibhash.bernoulli_divergence(random_batch(4, 3), fixed).requires_grad


def test_probabilities_at_their_ends_have_a_finite_divergence():
    ends = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = cibhash.bottleneck_loss(ends, -ends)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(ends.grad).all()


def test_the_alignment_of_two_views_by_hand():
    """Logits (log 3, 0) and (-log 3, log 3): the bits are 1 1 and 0 1."""
    first = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float64)
    second = torch.tensor([[-np.log(3.0), np.log(3.0)]], dtype=torch.float64)
    of_first = [-np.log(1 / 4), -np.log(1 / 2)]  # targets 0 1, probabilities 3/4 1/2
    of_second = [-np.log(1 / 4), -np.log(3 / 4)]  # targets 1 1, probabilities 1/4 3/4
    loss = crovca.alignment_loss([first, second])
    assert loss.item() == pytest.approx(np.mean(of_first + of_second))


def test_the_alignment_of_confident_equal_views_is_zero():
    logits = 30 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert crovca.alignment_loss([logits, logits]).item() == pytest.approx(0, abs=1e-9)


def test_the_losses_of_crovca_have_their_gradients():
    check_gradient(
        lambda first, second: crovca.alignment_loss([first, second]),
        random_batch(4, 3),
        random_batch(4, 3, seed=1),
    )
    check_gradient(lambda logits: crovca.coding_rate(logits, 0.05), random_batch(6, 3))


@pytest.mark.parametrize(("batch", "bits", "distortion"), [(6, 3, 0.05), (3, 8, 0.5)])
def test_the_coding_rate_is_that_of_numpy(batch, bits, distortion):
    logits = random_batch(batch, bits)
    unit = logits.numpy() / np.linalg.norm(logits.numpy(), axis=1, keepdims=True)
    matrix = np.eye(bits) + bits / (batch * distortion) * unit.T @ unit
    sign, logarithm = np.linalg.slogdet(matrix)
    assert sign == 1
    expected = logarithm * (batch + bits) / (2 * batch * bits)
    assert crovca.coding_rate(logits, distortion).item() == pytest.approx(expected)


def test_the_coding_rate_is_larger_for_codes_that_differ():
    equal = torch.ones(8, 4)
    assert crovca.coding_rate(equal, 0.05) < crovca.coding_rate(random_batch(8, 4).float(), 0.05)


def test_images_are_compared_within_each_view():
    first, second = torch.arange(4.0)[:, None], 10 + torch.arange(4.0)[:, None]
    batch = side_by_side(first, second)
    assert batch.flatten().tolist() == [0, 1, 10, 11, 2, 3, 12, 13]
    for half, other in zip(*heads.halves(batch), strict=True):
        assert other - half == 2
    assert [view.tolist() for view in apart(batch)] == [first.tolist(), second.tolist()]


HEADS = {
    cibhash.CIBHash: {"n_hidden": 16},
    crovca.CroVCA: {},
    SDCContrastive: {"n_hidden": 16},
}
CHANGES = {
    cibhash.CIBHash: [{"optimiser": "sgd"}, {"temperature": 1.0}, {"weight_bottleneck": 1.0}],
    crovca.CroVCA: [{"weight_rate": 1.0}, {"distortion": 0.5}, {"weight_decay": 1.0}],
    SDCContrastive: [{"optimiser": "sgd"}, {"weight_contrastive": 0.0}, {"temperature": 1.0}],
}


@pytest.mark.parametrize("head", HEADS)
def test_every_choice_changes_the_codes(head, rows):
    settings = HEADS[head] | {"batch": 40, "epochs": 5, "learning_rate": 0.01}
    usual = head(6, **settings).fit(**rows).project(rows["features"])
    changes = [{"scaling": "none"}, {"schedule": "constant"}, {"seed": 1}, *CHANGES[head]]
    for change in changes:
        changed = head(6, **settings | change).fit(**rows).project(rows["features"])
        assert np.abs(changed - usual).max() > 1e-4, change


@pytest.mark.parametrize("head", HEADS)
def test_the_losses_fall_and_views_agree(head, rows):
    """Codes of two views of an image agree more than codes of different images do."""
    hasher = head(12, **HEADS[head] | {"batch": 40}).fit(**rows)
    curves = hasher.extras_["curves"][:, 0]
    assert curves[-1] < curves[0]
    first, second = (hasher.encode(view) for view in rows["views"][:2])
    within = (first != second).mean()
    across = (first != np.roll(second, 50, axis=0)).mean()
    assert within < 0.5 * across
