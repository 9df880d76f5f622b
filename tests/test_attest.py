"""`python -m experiments attest`: a recomputed run proves that changed sources give equal codes."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import pytest
from builders import Copy

from evaluation import METRIC_VERSION

RUNS = "results/runs/digits/pixels/itq/8bit"
PUBLISHED = "results/published/mine"
PREPARE = [("datasets", "digits"), ("features", "extract", "digits", "pixels")]
SEEDS = ("0", "1")
PROBLEMS = """
import yaml
from harness.plan import Plan, encode_job
from harness.stale import State
config = yaml.safe_load(open("config/config.yaml"))
config |= {"methods": ["itq"], "bits": [8], "seeds": [0, 1]}
plan = Plan.load(config)
state = State(plan)
print([state.problem(encode_job(run)) for run in plan.runs])
"""


class Project(Copy):
    """A copy of the project in a git repository, with two runs of ITQ."""

    def __init__(self, folder):
        self.folder = folder

    def python(self, *arguments):
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("BGAN_BENCH")}
        environment = inherited | {"PYTHONPATH": str(self.folder)}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=environment
        )

    def run_job(self, *arguments):
        done = self.python("-m", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attest(self, *folders):
        """Exit status and output of the command."""
        done = self.python("-m", "experiments", "attest", *(folders or ["results"]))
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    def git(self, *arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Change the project")

    def rewrite(self, old="        self.seed = seed\n", new="        self.seed = int(seed)\n"):
        """Change the meaning of a source, by default not the codes, and commit."""
        self.replace("methods/itq.py", old, new)
        self.commit()

    def record(self, seed="0"):
        return json.loads((self.folder / RUNS / f"seed{seed}/run.json").read_text())

    def records(self):
        return [self.record(seed) for seed in SEEDS]

    def change_record(self, seed="0", **changes):
        path = self.folder / RUNS / f"seed{seed}/run.json"
        path.write_text(json.dumps(self.record(seed) | changes))

    def present_sources(self):
        program = (
            "import json; from harness import records; "
            "print(json.dumps(records.source_digests('methods', 'itq')))"
        )
        return json.loads(self.python("-c", program).stdout)


@pytest.fixture(scope="module")
def measured(build_once):
    if shutil.which("git") is None:
        pytest.skip("needs git")

    def measure(folder):
        Copy(folder)
        project = Project(folder)
        project.write(".gitignore", "cache\nlogs\nresults\n__pycache__\n")
        project.git("init", "--quiet")
        project.commit()
        for command in PREPARE:
            project.run_job(*command)
        for seed in SEEDS:
            project.run_job("methods", "digits", "pixels", "itq", "8", seed)

    return build_once("attest", measure)


@pytest.fixture
def project(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "bgan-bench")
    return Project(tmp_path / "bgan-bench")


def test_a_docstring_needs_no_attestation(project):
    before = project.records()
    project.rewrite('"""Iterative quantization."""', '"""Rotated principal axes."""')
    status, output = project.attest()
    assert status == 0, output
    assert project.records() == before


def test_equal_codes_attest_every_run_of_the_method(project):
    before = project.records()
    project.rewrite()
    assert " changed" in project.python("-c", PROBLEMS).stdout
    status, output = project.attest()
    assert status == 0, output

    present = project.present_sources()
    for old, new in zip(before, project.records(), strict=True):
        (entry,) = new["attested"]
        assert entry["commit"] == project.git("rev-parse", "HEAD")
        assert entry["dirty"] is False
        assert entry["processor"]
        assert entry["replaces"] == {"methods/itq.py": old["made_of"]["sources"]["methods/itq.py"]}
        assert entry["codes_sha256"] in [record["codes_sha256"] for record in before]
        assert entry["run"] in [f"digits/pixels/itq/8bit/seed{seed}" for seed in SEEDS]
        del new["attested"]
        assert new == old | {"made_of": old["made_of"] | {"sources": present}}
    assert project.python("-c", PROBLEMS).stdout.strip() == "['', '']"


def test_the_cheapest_run_is_recomputed(project):
    project.change_record("0", fit_seconds=9.0)
    project.change_record("1", fit_seconds=8.0)
    project.rewrite()
    assert project.attest()[0] == 0
    assert {record["attested"][0]["run"] for record in project.records()} == {
        "digits/pixels/itq/8bit/seed1"
    }


def test_with_an_option_every_variant_is_recomputed(project):
    made_of = project.record("1")["made_of"]
    run = made_of["run"] | {"variant": "other"}
    project.change_record("1", made_of=made_of | {"run": run})
    project.rewrite()
    assert project.attest("results", "--each-variant")[0] == 0
    runs = [record["attested"][0]["run"] for record in project.records()]
    assert runs == ["digits/pixels/itq/8bit/seed0", "digits/pixels/other/8bit/seed1"]


def test_a_second_rewriting_adds_a_second_attestation(project):
    first = project.record()["made_of"]["sources"]["methods/itq.py"]
    project.rewrite()
    project.attest()
    second = project.record()["made_of"]["sources"]["methods/itq.py"]
    project.rewrite("self.seed = int(seed)", "self.seed = 0 + seed")
    assert project.attest()[0] == 0
    replaced = [entry["replaces"]["methods/itq.py"] for entry in project.record()["attested"]]
    assert replaced == [first, second]


def test_runs_of_different_earlier_sources_are_attested_each(project):
    made_of = project.record("1")["made_of"]
    earlier = made_of["sources"] | {"methods/_pca.py": "ast1:" + "00" * 32}
    project.change_record("1", made_of=made_of | {"sources": earlier})
    project.rewrite()
    assert project.attest()[0] == 0
    runs = [record["attested"][0]["run"] for record in project.records()]
    assert runs == [f"digits/pixels/itq/8bit/seed{seed}" for seed in SEEDS]


def test_a_new_parameter_gets_its_default(project):
    project.rewrite("seed=0, iterations=50", "seed=0, iterations=50, shift=0.0")
    assert project.attest()[0] == 0
    for record in project.records():
        assert record["made_of"]["params"] == {"iterations": 50, "shift": 0.0}
    assert project.python("-c", PROBLEMS).stdout.strip() == "['', '']"


def test_a_changed_default_is_named(project):
    """The codes of the recorded parameters are equal, but the workflow uses the new default."""
    project.rewrite("seed=0, iterations=50", "seed=0, iterations=49")
    status, output = project.attest()
    assert status == 0, output
    assert "default changed (iterations was 50, now 49): the workflow runs itq again" in output


def another_rotation(project):
    project.rewrite("start, self.iterations)", "start, self.iterations - 49)")


def a_parameter_less(project):
    project.rewrite("seed=0, iterations=50", "seed=0, rounds=50")


def uncommitted_change(project):
    project.rewrite()
    project.replace("harness/errors.py", "import contextlib", "import contextlib  # changed")


def other_features(project):
    project.rewrite()
    path = project.folder / "cache/features/digits/pixels/features.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "00" * 32}))


def no_features(project):
    project.rewrite()
    shutil.rmtree(project.folder / "cache/features")


def a_method_that_raises(project):
    project.rewrite("        self.seed = seed\n", "        raise ValueError('broken')\n")


def a_gpu(project):
    project.rewrite()
    for seed in SEEDS:
        project.change_record(seed, device="NVIDIA H200")


def a_network_on_another_processor(project):
    project.rewrite("from methods._base", "import torch\n\nfrom methods._base")
    for seed in SEEDS:
        project.change_record(seed, machine={"processor": "Z80"})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (another_rotation, "codes"),
        (a_parameter_less, "iterations"),
        (uncommitted_change, "uncommitted"),
        (other_features, "features changed"),
        (no_features, "cache/features/digits/pixels/features.json"),
        (a_method_that_raises, "broken"),
        (a_gpu, "NVIDIA H200"),
        (a_network_on_another_processor, "Z80"),
    ],
)
def test_what_cannot_be_attested_stays_out_of_date(project, change, named):
    change(project)
    before = project.records()
    status, output = project.attest()
    assert status == 1
    assert named in output
    assert project.records() == before


def test_a_method_without_networks_is_attested_on_any_processor(project):
    project.rewrite()
    for seed in SEEDS:
        project.change_record(seed, machine={"processor": "Z80"})
    assert project.attest()[0] == 0


def test_a_published_folder_is_attested(project):
    other = project.record("1")
    other["made_of"] = other["made_of"] | {"plugin": "removed"}
    found = [project.record("0"), other]
    folder = project.folder / PUBLISHED
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(record) + "\n" for record in found)
    (folder / "runs.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    project.write(f"{PUBLISHED}/experiment.json", json.dumps({"metric_version": METRIC_VERSION}))
    project.rewrite()

    status, output = project.attest(PUBLISHED)
    assert status == 1, output
    assert "removed" in output
    text = gzip.decompress((folder / "runs.jsonl.gz").read_bytes())
    attested, unchanged = [json.loads(line) for line in text.splitlines()]
    assert attested["made_of"]["sources"] == project.present_sources()
    assert attested["attested"][0]["run"] == "digits/pixels/itq/8bit/seed0"
    assert unchanged == other
    assert "attested" not in project.record("0")


def test_a_folder_without_records_is_an_error(project):
    status, output = project.attest("docs")
    assert status == 1
    assert output.count("\n") == 1
