"""Submissions: a true one is accepted, and each kind of false one is refused in one line."""

import json
import shutil

import numpy as np
import pytest

from datasets.__main__ import main as prepare_command
from experiments import submissions
from experiments.__main__ import main
from harness import storage
from harness.errors import BenchmarkError

CARD = """
method: Random projections
paper: none
dataset: digits
bits: 12
features: pixels
training_data: the training images of digits
licence: MIT
"""
FOR_RANKING = "search_space: none\ntrials: 0\nlabels_used: none\nhardware: one CPU\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with the prepared digits, codes of two seeds, a card and a submission of them."""
    folder = tmp_path_factory.mktemp("submissions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["datasets", "digits"])
        prepare_command()
        images = np.load("cache/datasets/digits/images.npy").reshape(1797, -1).astype(float)
        centred = images - images.mean(axis=0)
        for seed in (0, 1):
            axes = np.random.default_rng(seed).normal(size=(centred.shape[1], 12))
            np.save(f"codes{seed}.npy", centred @ axes >= 0)
        (folder / "card.yaml").write_text(CARD)
        files = [folder / "codes0.npy", folder / "codes1.npy"]
        submissions.submit(files, folder / "card.yaml", folder / "true")
    return folder


@pytest.fixture
def submission(prepared, tmp_path, monkeypatch):
    """A copy of the submission, in the working directory of the prepared data set."""
    monkeypatch.chdir(prepared)
    return shutil.copytree(prepared / "true", tmp_path / "copy")


def restate(folder, **changes):
    """Change submission.json, with the digests of the present files."""
    record = json.loads((folder / submissions.RECORD).read_text())
    names = ["card.yaml", *sorted(path.name for path in folder.glob("codes-*.npz"))]
    record["sha256"] = {name: storage.digest(folder / name) for name in names}
    (folder / submissions.RECORD).write_text(json.dumps(record | changes))


def write_codes(folder, packed, bits=12, seed=0):
    np.savez(folder / submissions.CODES.format(seed), codes=packed, bits=np.int64(bits))


def packed_codes(folder, seed=0):
    return np.load(folder / submissions.CODES.format(seed))["codes"]


def test_a_true_submission_is_accepted(submission):
    found = submissions.verify(submission)
    assert len(found.scores) == 2
    assert 0.2 < found.scores[0]["map"] < 0.6
    assert found.scores[0]["map_worst"] < found.scores[0]["map"] < found.scores[0]["map_best"]
    assert found.missing == ("search_space", "trials", "labels_used", "hardware")


def test_a_card_that_states_the_budget_is_complete(submission):
    (submission / "card.yaml").write_text(CARD + FOR_RANKING)
    restate(submission)
    assert submissions.verify(submission).missing == ()


def missing_field(folder):
    (folder / "card.yaml").write_text(CARD.replace("licence: MIT", ""))
    return "'licence' is missing"


def unknown_field(folder):
    (folder / "card.yaml").write_text(CARD + "rank: 1\n")
    return "'rank' is unknown"


def other_split(folder):
    restate(folder, split_sha256="0" * 64)
    return "split_sha256"


def other_metrics(folder):
    restate(folder, metric_version=1)
    return "metric_version"


def changed_codes(folder):
    packed = packed_codes(folder)
    packed[0] ^= 255
    write_codes(folder, packed)
    return "codes-seed0.npz is not the file"


def changed_card(folder):
    (folder / "card.yaml").write_text(CARD.replace("Random", "Better"))
    return "card.yaml is not the file"


def fewer_rows(folder):
    write_codes(folder, packed_codes(folder)[:-1])
    restate(folder)
    return r"expected uint8 \(1797, 2\)"


def other_bits(folder):
    write_codes(folder, packed_codes(folder), bits=16)
    restate(folder)
    return "has 16 bits, the card states 12"


def equal_codes(folder):
    write_codes(folder, np.tile(packed_codes(folder)[:1], (1797, 1)))
    restate(folder)
    return "all 1797 codes are equal"


def other_order(folder):
    packed = packed_codes(folder)
    write_codes(folder, np.random.default_rng(0).permutation(packed))
    restate(folder)
    return "not above"


def same_seed_twice(folder):
    write_codes(folder, packed_codes(folder), seed=1)
    restate(folder)
    return "has the codes of codes-seed0.npz"


def better_scores(folder):
    record = json.loads((folder / submissions.RECORD).read_text())
    record["scores"][1]["map"] += 1e-4
    restate(folder, scores=record["scores"])
    return "map of codes-seed1.npz is"


def fewer_seeds(folder):
    (folder / "codes-seed0.npz").unlink()
    return "a seed is left out"


FALSE = [
    *(missing_field, unknown_field, other_split, other_metrics, changed_codes, changed_card),
    *(fewer_rows, other_bits, equal_codes, other_order, same_seed_twice, better_scores),
    fewer_seeds,
]


@pytest.mark.parametrize("falsify", FALSE, ids=lambda function: function.__name__)
def test_a_false_submission_is_refused_in_one_line(submission, falsify):
    message = falsify(submission)
    with pytest.raises(BenchmarkError, match=message) as refused:
        submissions.verify(submission)
    assert "\n" not in str(refused.value)


def test_the_codes_of_a_published_run_are_refused(submission, tmp_path, monkeypatch):
    (tmp_path / "published/toy").mkdir(parents=True)
    digest = storage.digest(submission / "codes-seed1.npz")
    table = f"variant,seed,codes_sha256\nitq,3,{digest}\n"
    (tmp_path / "published/toy/runs.csv").write_text(table)
    monkeypatch.setattr(submissions, "PUBLISHED", tmp_path / "published")
    with pytest.raises(BenchmarkError, match="itq, seed 3"):
        submissions.verify(submission)


def test_a_refused_submission_leaves_no_folder(submission, tmp_path):
    (tmp_path / "card.yaml").write_text(CARD.replace("bits: 12", "bits: 13"))
    with pytest.raises(BenchmarkError):
        submissions.submit([submission.parent / "none.npy"], tmp_path / "card.yaml", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_command_states_what_is_not_known(submission, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["experiments", "verify", str(submission)])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    printed = capsys.readouterr().out
    assert "cannot be verified" in printed
    assert "unranked" in printed
