"""The contract, over every file in methods/; then each method against its definition."""

import functools
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import methods
from evaluation import score
from experiments import contract
from features._neighbours import nearest
from features.vgg16_fc7 import VGG16FC7
from harness import imagenet, plugins
from harness.errors import BenchmarkError
from harness.plan import Run
from harness.plugins import ROOT
from harness.storage import digest
from harness.user_data import DATA_VARIABLE
from methods import __main__ as command
from methods.__main__ import build, encoded
from methods._neighbourhood import TIES, similar_pairs

BITS = 12
METHODS = [
    name
    for name in plugins.names("methods")
    if ... not in plugins.read_plugin("methods", name).defaults.values()
]
QUICK = {
    "bgan": {"epochs": 6, "k1": 10, "k2": 15},
    "crovca": {"batch": 100},
    "imh": {"n_anchors": 60},
    "kmh": {"iterations": 10},
    "tbh": {"n_hidden": 64, "n_latent": 32, "batch": 100, "epochs": 30},
    "deepbit": {"iterations": 2000, "step": 1000},
    "deepbit_rotation": {
        "encoder": "vgg16",
        "encoder_size": 16,
        "iterations": [2000, 100],
        "step": [1000, 50],
    },
    "bgan squeezenet1_1": {
        "encoder": "squeezenet1_1",
        "encoder_size": 24,
        "epochs": 6,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "k1": 10,
        "k2": 15,
    },
}  # enough to beat chance on the small problem below
CASES = METHODS + [name for name in QUICK if name not in METHODS]


def component(name):
    return plugins.read_plugin("methods", name.partition(" ")[0])


def hashers(name, bits=BITS, **keywords):
    part = component(name)
    return plugins.load_class(part)(bits, **QUICK.get(name, {}) | keywords)


class OneConvolution(torch.nn.Module):
    """Stands in for VGG-16, whose official layout is too large to train here."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4)
        )

    def penultimate(self, images):
        return self.features(images).flatten(1)


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """A data folder with random weights of SqueezeNet and OneConvolution.

    The weights are large enough for a signal to pass eighteen layers.
    """
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_VARIABLE, str(folder))
        patch.setitem(imagenet.NETWORKS, "vgg16", OneConvolution)
        for case in ("bgan squeezenet1_1", "deepbit_rotation"):
            torch.manual_seed(0)
            network = imagenet.NETWORKS[QUICK[case]["encoder"]]()
            for parameter in network.parameters():
                torch.nn.init.kaiming_normal_(
                    parameter
                ) if parameter.ndim > 1 else torch.nn.init.zeros_(parameter)
            path = folder / f"{case}.pth"
            torch.save(network.state_dict(), path)
            QUICK[case] |= {"weights": path.name, "sha256": digest(path)}
        yield folder


@pytest.fixture(scope="module")
def problem(weights):
    """Four classes of 8 x 8 images, 100 each, noisy versions of one image a class."""
    generator = np.random.default_rng(7)
    labels = np.repeat(np.arange(4), 100)
    centres = generator.integers(60, 196, (4, 8, 8, 3))
    images = (
        (centres[labels] + generator.normal(0, 45, (400, 8, 8, 3))).clip(0, 255).astype(np.uint8)
    )
    features = images.reshape(400, -1).astype(np.float32) / 255
    given = QUICK["deepbit_rotation"]
    extractor = VGG16FC7(resize=16, crop=16, weights=given["weights"], sha256=given["sha256"])
    extractor.open(weights, len(images))
    arrays = {
        "images": images,
        "features": features,
        "neighbours": nearest(features),
        "views": contract.noisy_copies(features),
        "labels": labels,
    }
    arrays["network features"] = extractor.extract(images)
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


@pytest.fixture(scope="module")
def case(problem):
    """Return a function that returns the case of a name, which is trained once."""
    network = {"features": problem["network features"]}

    @functools.cache
    def of(name):
        of_network = network if name == "deepbit_rotation" else {}
        arrays = {key: value for key, value in problem.items() if key in contract.ARRAYS}
        of_case = contract.Problem(arrays | of_network, problem["labels"])
        return contract.Case(component(name), of_case, QUICK.get(name, {}), BITS)

    return of


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("clause", contract.CHECKS, ids=lambda clause: clause.problem_of.__name__)
def test_a_method_fulfils_the_contract(name, clause, case):
    assert clause.problem_of(case(name)) == ""


FORGETFUL = """
import random
import numpy as np

class Forgetful:
    label = "Forgetful"

    def __init__(self, n_bits, *, seed=0):
        self.n_bits = n_bits

    def fit(self):
        import torch

        return random.random(), np.random.normal(), torch.randn(1).item()

    def encode(self, features):
        pass
"""


@pytest.mark.parametrize("seeded", [True, False])
def test_a_method_that_forgets_its_seed_repeats_what_it_draws(tmp_path, monkeypatch, seeded):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/forgetful.py").write_text(
        FORGETFUL if seeded else FORGETFUL.replace(", *, seed=0", "")
    )
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    monkeypatch.setattr(methods, "__path__", [str(tmp_path / "methods")])
    monkeypatch.delitem(sys.modules, "methods.forgetful", raising=False)
    part = plugins.read_plugin("methods", "forgetful")
    one, again, other = (
        build(part, Run("digits", "pixels", "forgetful", BITS, seed), {}).fit()
        for seed in (0, 0, 1)
    )
    assert one == again
    differing = sum(first != second for first, second in zip(one, other, strict=True))
    assert differing == (3 if seeded else 0)


def blobs(n=500, d=20, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(n, d)) * np.linspace(3, 0.5, d) + 2).astype(np.float32)


def test_pcah_is_the_sign_of_scikit_learns_components():
    from sklearn.decomposition import PCA

    features = blobs()
    components = PCA(8).fit_transform(features.astype(np.float64))
    codes = hashers("pcah", 8).fit(features).encode(features)
    agreement = (codes == (components >= 0)).mean(axis=0)
    assert set(agreement.round(2)) <= {0.0, 1.0}, "each bit up to the axis' arbitrary sign"


def test_lsh_bits_differ_in_proportion_to_the_angle():
    features = blobs(40)
    centred = features - features.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1)
    cosines = centred @ centred.T / np.outer(norms, norms)
    codes = hashers("lsh", 20000).fit(features).encode(features)
    differing = (codes[:, None] != codes[None]).mean(axis=2)
    assert np.abs(differing - np.arccos(cosines.clip(-1, 1)) / np.pi).max() < 0.02, (
        "Charikar 2002: probability angle / pi"
    )


def test_itq_loses_less_to_quantization_than_pca_and_than_a_random_rotation():
    features = blobs()
    hasher = hashers("itq", 8).fit(features)
    unrotated = hashers("itq", 8, iterations=0).fit(features)

    def loss(projected):
        return np.square(np.where(projected >= 0, 1, -1) - projected).sum()

    projected = [(features - fitted.mean_) @ fitted.projection_ for fitted in (hasher, unrotated)]
    assert loss(projected[0]) < loss(projected[1])
    assert np.linalg.norm(projected[0]) == pytest.approx(np.linalg.norm(projected[1])), (
        "a rotation keeps lengths"
    )


def test_sh_on_a_uniform_rectangle_gives_its_eigenfunctions():
    """On [0, 2] x [0, 0.8]: cos(pi x / 2), then cos(pi x) before cos(pi y / 0.8).

    Eigenvalues grow with the squared frequency.
    """
    generator = np.random.default_rng(3)
    features = (generator.random((4000, 2)) * [2, 0.8]).astype(np.float32)
    codes = hashers("sh", 2).fit(features).encode(features)
    x = features[:, 0]
    assert max((codes[:, 0] == (x < 1)).mean(), (codes[:, 0] == (x >= 1)).mean()) > 0.97
    assert (codes[:, 1] == (np.cos(np.pi * x) >= 0)).mean() > 0.95


def test_sh_tries_no_cosines_along_an_axis_that_all_images_are_at_one_place_of():
    features = np.zeros((50, 8), np.float32)
    features[:, :3] = np.random.default_rng(0).random((50, 3))
    assert set(hashers("sh", 8).fit(features).axis_) <= {0, 1, 2}


@pytest.mark.parametrize("name", ["pcah", "itq"])
def test_more_bits_than_dimensions_is_said(name):
    with pytest.raises(
        ValueError, match="24 bits need at least as many feature dimensions, found 20"
    ):
        hashers(name, 24).fit(blobs())


def test_chance_codes_score_the_share_of_relevant_items(problem):
    labels = problem["labels"]
    codes = hashers("chance", 16).fit(problem["features"]).encode(problem["features"])
    query = np.arange(400) % 2 == 0
    found = score(codes[query], codes[~query], labels[query], labels[~query], metrics=("map",))[
        "map"
    ]
    assert found == pytest.approx(0.25, abs=0.03)


def transcribed(neighbours, k1, k2, second_step=True, ties="place"):
    """The definition of the neighbourhood structure, step by step, with sets."""
    n = len(neighbours)
    nearest_sets = [set(row[: k1 + 1]) for row in neighbours.tolist()]
    similar = np.zeros((n, n), dtype=bool)
    for i in range(n):
        place = {j: at for at, j in enumerate(neighbours[i].tolist())}
        overlap = [len(nearest_sets[i] & other) for other in nearest_sets]
        ranked = sorted(
            range(n),
            key=lambda j: (
                -overlap[j],
                0 if ties == "index" and overlap[j] else place.get(j, n),
                j,
            ),
        )
        for j in set().union(*(nearest_sets[m] for m in (ranked[:k2] if second_step else [i]))):
            similar[i, j] = similar[j, i] = True
    return similar


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize(("k1", "k2"), [(3, 5), (10, 15), (20, 30), (2, 20)])
def test_the_neighbourhood_is_its_definition(problem, k1, k2, ties):
    found = similar_pairs(problem["neighbours"], k1, k2, ties=ties).toarray()
    assert (found == transcribed(problem["neighbours"], k1, k2, ties=ties)).all()


def test_the_neighbourhood_without_its_second_step_is_the_lists(problem):
    assert (
        similar_pairs(problem["neighbours"], 10, 15, False).toarray()
        == transcribed(problem["neighbours"], 10, 15, False)
    ).all()


def test_the_neighbourhood_with_many_equal_overlaps_is_its_definition():
    coarse = np.random.default_rng(1).integers(0, 3, (150, 2)).astype(np.float32)
    neighbours = nearest(coarse, 40)
    for ties in TIES:
        assert (
            similar_pairs(neighbours, 8, 12, ties=ties).toarray()
            == transcribed(neighbours, 8, 12, ties=ties)
        ).all()


def test_neighbour_lists_too_short_are_said(problem):
    with pytest.raises(
        ValueError, match="k1 = 20 and k2 = 80 need neighbour lists longer than found: 64"
    ):
        similar_pairs(problem["neighbours"], 20, 80)


def test_the_readmes_example_is_a_method(problem):
    source = re.search(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )[1]
    defined = {}
    exec(source, defined)
    hasher = defined["Median"](BITS).fit(problem["features"])
    codes, labels = hasher.encode(problem["features"]), problem["labels"]
    assert (codes.dtype, codes.shape) == (bool, (400, BITS))
    query = np.arange(400) % 5 == 0
    assert (
        score(codes[query], codes[~query], labels[query], labels[~query], metrics=("map",))["map"]
        > 0.35
    )


def test_reading_the_files_is_no_part_of_encoding(monkeypatch):
    """Pages that were dropped in a long training are read again, outside the measured time."""
    features = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    hasher = hashers("lsh").fit(features)
    encode, clock = hasher.encode, SimpleNamespace(seconds=0.0)

    def read():
        clock.seconds += 100
        return features

    def work(features):
        clock.seconds += 1
        return encode(features)

    monkeypatch.setattr(hasher, "encode", work)
    monkeypatch.setattr(
        "methods.__main__.time", SimpleNamespace(perf_counter=lambda: clock.seconds)
    )
    codes, ones, seconds = encoded(hasher, {"features": read}, BITS, "lsh")
    assert seconds == 1
    assert (codes == np.packbits(hasher.encode(features), axis=1)).all()
    assert (ones == hasher.encode(features).sum(axis=0)).all()


def test_a_source_that_changes_while_the_job_starts_is_an_error(monkeypatch):
    """The record would describe another text than the one that was imported."""
    command.records.check_sources("methods", "itq")
    monkeypatch.setattr(command.records, "source_digests", lambda *_: {"methods/itq.py": "ast1:0"})
    with pytest.raises(
        BenchmarkError,
        match=r"^a source of methods/itq.py changed while the job started: rerun the command$",
    ):
        command.records.check_sources("methods", "itq")
