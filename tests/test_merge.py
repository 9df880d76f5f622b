"""`python -m experiments merge`: runs of another checkout, verified before they are copied."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from experiments import merge
from experiments.attest import RunRecords
from harness import records, storage
from harness.errors import BenchmarkError
from harness.plan import Place, Run, fields_of

RUN = Run("digits", "pixels", "itq", 8, 0)
INPUTS = {"split": "a1" * 32, "features": "b2" * 32}
EARLIER = {"methods/itq.py": "ast1:" + "00" * 32}


def write_run(results, run=RUN, fill=1, **changes):
    """Write the folder of a run as its job does. changes: of made_of."""
    folder = results.parent / run.folder
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "codes.npz", codes=np.full((4, 1), fill, np.uint8), bits=np.int64(8))
    np.savez(folder / "extras.npz")
    made_of = {
        "sources": records.source_digests("methods", "itq"),
        "plugin": "itq",
        "params": {"iterations": 50},
        "run": fields_of(run),
        **INPUTS,
        "files": {},
    }
    digest = storage.digest(folder / "codes.npz")
    records.write(folder / "run.json", made_of | changes, codes_sha256=digest, device="cpu")
    return folder


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "facts", [{"machine": None}, {"machine": {}}, {"fit_seconds": "long"}, {"device": 1}]
)
def test_a_record_with_facts_of_another_type_is_refused(other, here, facts, capsys):
    change(write_run(other) / "run.json", **facts)
    assert not merge.merge(other)
    assert "refused: run.json is not the record of a run" in capsys.readouterr().out


@pytest.mark.parametrize(
    "made_of",
    [
        None,
        1,
        {},
        {"sources": None, "plugin": "itq", "params": {}, "run": {}},
        {"sources": {}, "plugin": "itq", "run": {}},
    ],
)
def test_a_record_without_made_of_is_refused_on_both_sides(other, here, made_of, capsys):
    damaged = write_run(other)
    change(damaged / "run.json", made_of=made_of)
    assert not merge.merge(other)
    assert (
        "refused: run.json is not the record of a run. Delete the folder there"
        in capsys.readouterr().out
    )
    sound = write_run(here)
    change(sound / "run.json", made_of=made_of)
    write_run(other)
    assert not merge.merge(other)
    assert (
        "refused: results/runs/digits/pixels/itq/8bit/seed0/run.json is not the record of a run: "
        "delete" in capsys.readouterr().out
    )
    with pytest.raises(BenchmarkError, match=r"run\.json is not the record of a run: delete "):
        RunRecords(here)


@pytest.fixture
def other(tmp_path, monkeypatch):
    """The results folder of another checkout; this one is the working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "other/results"
    (folder / "runs").mkdir(parents=True)
    return folder


@pytest.fixture
def here(tmp_path):
    return tmp_path / "here/results"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_missing_runs_are_copied_with_all_files(other, here):
    written = [write_run(other), write_run(other, Run("digits", "pixels", "itq", 8, 1), fill=2)]
    write_run(here, Run("digits", "pixels", "lsh", 8, 0))
    assert merge.merge(other)
    for folder in written:
        assert contents(here.parent / folder.relative_to(other.parent)) == contents(folder)
    assert len(list((here / "runs").rglob("run.json"))) == 3
    assert not list(here.rglob(".*"))


def test_merging_again_changes_nothing(other, here, capsys):
    write_run(other)
    assert merge.merge(other)
    times = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    assert merge.merge(other)
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == times
    assert "0 copied, 0 replaced, 1 equal, 0 retained, 0 refused" in capsys.readouterr().out


def test_other_codes_are_refused_and_ours_stay(other, here, capsys):
    write_run(other, fill=2)
    ours = contents(write_run(here))
    assert not merge.merge(other)
    assert contents(here.parent / RUN.folder) == ours
    assert "1 refused" in capsys.readouterr().out


@pytest.mark.parametrize("earlier_here", [True, False])
def test_the_run_of_the_present_sources_stays(other, here, earlier_here):
    changes = {"sources": EARLIER}
    theirs = contents(write_run(other, fill=2, **({} if earlier_here else changes)))
    ours = contents(write_run(here, **(changes if earlier_here else {})))
    assert merge.merge(other)
    assert contents(here.parent / RUN.folder) == (theirs if earlier_here else ours)


def truncate_codes(folder):
    (folder / "codes.npz").write_bytes((folder / "codes.npz").read_bytes()[:-9])


def remove_extras(folder):
    (folder / "extras.npz").unlink()


def earlier_format(folder):
    change(folder / "run.json", format=1)


def another_run(folder):
    made_of = json.loads((folder / "run.json").read_text())["made_of"]
    change(folder / "run.json", made_of=made_of | {"run": fields_of(RUN) | {"bits": 12}})


def no_json(folder):
    (folder / "run.json").write_text("{")


@pytest.mark.parametrize(
    "damage", [truncate_codes, remove_extras, earlier_format, another_run, no_json]
)
def test_a_damaged_run_is_refused_and_the_others_are_copied(other, here, damage, capsys):
    damage(write_run(other))
    good = Run("digits", "pixels", "itq", 8, 1)
    write_run(other, good)
    assert not merge.merge(other)
    assert not (here.parent / RUN.folder).exists()
    assert (here.parent / good.folder / "run.json").is_file()
    (refused, counts) = capsys.readouterr().out.splitlines()
    assert RUN.name in refused
    assert "1 copied" in counts


def write_dataset(split):
    files = {"images.npy": "c3" * 32, "labels.npy": "d4" * 32, "names.json": "e5" * 32}
    path = Place("digits", "pixels").dataset_record
    records.write(path, {}, sha256=files, split_sha256=split)


def write_features(digest):
    records.write(Place("digits", "pixels").features_record, {}, sha256=digest)


@pytest.mark.parametrize(("split", "features"), [("ff" * 32, "b2" * 32), ("a1" * 32, "ff" * 32)])
def test_runs_on_other_data_are_refused(other, here, split, features, capsys):
    write_run(other)
    write_dataset(split)
    write_features(features)
    assert not merge.merge(other)
    assert not (here / "runs").exists()
    assert RUN.name in capsys.readouterr().out


def test_runs_on_the_same_data_are_copied(other, here):
    write_run(other)
    write_dataset(INPUTS["split"])
    write_features(INPUTS["features"])
    assert merge.merge(other)
    assert (here.parent / RUN.record).is_file()


def test_a_folder_without_runs_is_an_error(other, here):
    with pytest.raises(BenchmarkError, match="has no runs"):
        merge.merge(other)
    write_run(here)
    with pytest.raises(BenchmarkError, match="of this checkout"):
        merge.merge(here)


def test_runs_of_the_workflow_are_merged(copy, finished):
    runs = copy.folder / "results/runs"
    removed = runs / "digits/pixels/itq"
    expected = {path.relative_to(removed): path.read_bytes() for path in removed.rglob("*.*")}
    total = len(list(runs.rglob("run.json")))
    shutil.rmtree(removed)

    command = [sys.executable, "-m", "experiments", "merge", str(finished / "results")]
    environment = os.environ | {"PYTHONPATH": str(copy.folder)}
    done = subprocess.run(command, cwd=copy.folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {path.relative_to(removed): path.read_bytes() for path in removed.rglob("*.*")}
    assert found == expected
    copied = len([path for path in expected if path.name == "run.json"])
    assert f"{copied} copied, 0 replaced, {total - copied} equal" in done.stdout
