"""Archives of the codes of published runs: bytes, contents, and what is refused."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from experiments import archive, publish
from harness.errors import BenchmarkError
from harness.plan import Run, fields_of
from harness.plugins import ROOT
from harness.records import FORMAT

RUNS = [Run("digits", "pixels", "itq", bits, seed) for bits in (16, 8) for seed in (0, 1)]
BUILD = Path("build")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the codes of four runs, published as `mine`; as members, name to content."""
    monkeypatch.chdir(tmp_path)
    contents, run_records = {}, []
    for run in RUNS:
        content = f"codes of {run.name}".encode() * 40
        run.folder.mkdir(parents=True)
        run.codes.write_bytes(content)
        contents[f"results/runs/{run.name}/codes.npz"] = content
        record = {"made_of": {"run": fields_of(run)}, "device": "cpu", "format": FORMAT}
        record |= {"machine": {"processor": "one"}, "commit": "ab" * 20, "dirty": False}
        record |= {"codes_sha256": hashlib.sha256(content).hexdigest()}
        record["made_of"] |= {"sources": {}, "plugin": "itq", "params": {}, "split": "a1"}
        run_records.append(record)
    folder = publish.PUBLISHED / "mine"
    folder.mkdir(parents=True)
    publish.write_records(folder / publish.RUNS, run_records)
    return contents


def members(path):
    with tarfile.open(path) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened}


def test_an_archive_has_the_codes_of_each_run_and_a_list_that_sha256sum_reads(project, tmp_path):
    path = archive.write("mine", BUILD)
    assert path == Path("build/codes-mine.tar")
    found = members(path)
    assert {name: found[name] for name in project} == project
    assert list(found) == [archive.SUMS, *sorted(project)]
    unpacked = tmp_path / "unpacked"
    with tarfile.open(path) as opened:
        opened.extractall(unpacked, filter="data")
    subprocess.run(["sha256sum", "--check", "--strict", archive.SUMS], cwd=unpacked, check=True)
    assert archive.verify("mine", BUILD) == 4


def test_equal_codes_give_equal_bytes_whatever_the_times_and_the_order(project):
    before = archive.write("mine", BUILD).read_bytes()
    for run in RUNS:
        os.utime(run.codes, (1, 1))
        run.codes.chmod(0o600)
    folder = publish.PUBLISHED / "mine"
    publish.write_records(folder / publish.RUNS, publish.records_of(folder)[::-1])
    assert archive.write("mine", BUILD).read_bytes() == before


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_codes_that_are_not_the_published_ones_are_not_archived(project, damage):
    run = RUNS[2]
    if damage == "changed":
        run.codes.write_bytes(b"other codes")
    else:
        run.codes.unlink()
    with pytest.raises(BenchmarkError, match=f"results/runs/{run.name}/codes.npz"):
        archive.write("mine", BUILD)
    assert not any(BUILD.iterdir())


def changed(found):
    found[max(found)] = b"other codes"


def without_a_run(found):
    del found[max(found)]


def with_another_run(found):
    found["results/runs/digits/pixels/itq/8bit/seed9/codes.npz"] = b"codes"


def with_another_list(found):
    found[archive.SUMS] = found[archive.SUMS].replace(b"seed0", b"seed9")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (changed, "seed1/codes.npz has SHA-256"),
        (without_a_run, "seed1/codes.npz is missing, and 0 more"),
        (with_another_run, "found .*seed9/codes.npz, expected"),
        (with_another_list, "SHA256SUMS has SHA-256"),
    ],
)
def test_an_archive_that_differs_from_the_records_is_refused(project, damage, named):
    path = archive.write("mine", BUILD)
    found = members(path)
    damage(found)
    with tarfile.open(path, "w") as opened:
        for name, content in found.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    with pytest.raises(BenchmarkError, match=named):
        archive.verify("mine", BUILD)


def test_a_link_instead_of_codes_and_a_file_that_is_no_archive_are_refused(project):
    path = archive.write("mine", BUILD)
    found = members(path)
    with tarfile.open(path, "w") as opened:
        for name in found:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            opened.addfile(member)
    with pytest.raises(BenchmarkError, match="of no file"):
        archive.verify("mine", BUILD)
    path.write_bytes(b"no archive")
    with pytest.raises(BenchmarkError, match="cannot be read"):
        archive.verify("mine", BUILD)


def test_the_command_writes_and_verifies(project):
    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "experiments", "archive-codes", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    written = command("mine")
    assert written.stdout.startswith("build/codes-mine.tar: 4 runs, as published, SHA-256 ")
    assert command("results/published/mine/", "--verify").stdout == written.stdout
    refused = command("yours")
    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        "experiments: results/published/yours is not a published folder: expected one of mine"
    )
