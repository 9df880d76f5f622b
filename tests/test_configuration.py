"""The text of configuration files: no value is reinterpreted; errors name file, line and column."""

import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import configuration
from harness.errors import BenchmarkError
from harness.plan import Plan
from harness.plugins import ROOT


def problem(folder, text):
    """The message for a file with this text, without its folder; empty if it is accepted."""
    path = folder / "mine.yaml"
    path.write_text(text)
    try:
        configuration.check(path)
    except BenchmarkError as error:
        return str(error).removeprefix(f"{folder}/")
    return ""


@pytest.mark.parametrize(
    ("text", "position", "found", "read"),
    [
        ("bits: [012, 24]", "1:8", "012", "10"),
        ("bits: [8, 024]", "1:11", "024", "20"),
        ("bits:\n  - 1:30", "2:5", "1:30", "90"),
        ("seeds: [010]", "1:9", "010", "8"),
        ("seeds: [0x10]", "1:9", "0x10", "16"),
        ("seeds: [0b11]", "1:9", "0b11", "3"),
        ("seeds: [1_0]", "1:9", "1_0", "10"),
        ("set: {learning_rate: 1:30.5}", "1:22", "1:30.5", "90.5"),
        ("set: {learning_rate: 1_0.5}", "1:22", "1_0.5", "10.5"),
        ("set: {flag: no}", "1:13", "no", "False"),
        ("set: {flag: On}", "1:13", "On", "True"),
        ("on: [8]", "1:1", "on", "True"),
        ("label: 2024-01-01", "1:8", "2024-01-01", "a date"),
        ("label: 2024-99-99", "1:8", "2024-99-99", "a date"),
    ],
)
def test_a_value_that_yaml_reads_as_another_one_is_refused(tmp_path, text, position, found, read):
    message = problem(tmp_path, text)
    assert message.startswith(f"mine.yaml:{position}: found {found}, which YAML reads as {read}")


@pytest.mark.parametrize(
    "text",
    [
        "bits: [8, 12, +16, 0]",
        "label: '012'\nnote: \"no\"\nmore: >\n  010",
        "set: {learning_rate: 1.0e-4, decay: .5, weight: -3., flag: true, other: False}",
        "variants:\n  methods:\n  datasets: ~\n  features: null",
        "label: BGAN 1:30, no 012",
        "base: &base {of: itq}\nmine: *base\nother: {<<: *base}",
    ],
)
def test_values_that_mean_what_they_show_are_accepted(tmp_path, text):
    assert problem(tmp_path, text) == ""


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none() | st.text())
def test_every_value_that_yaml_writes_is_accepted(value):
    """PyYAML quotes the texts that it would read as another value."""
    root = yaml.compose(yaml.safe_dump({"key": value}), Loader=configuration.LOADER)
    assert not any(map(configuration._problem, configuration._nodes(root)))


@pytest.mark.parametrize(
    ("text", "position", "advice"),
    [
        ("bits: [8]\nlabel: BGAN: mine\n", "2:12", "in quotes"),
        ("bits: [8]\n\tseeds: [0]\n", "2:1", "Indent with spaces"),
        ("bits: ]\n", "1:7", "not valid YAML"),
        ("bits: [8]\nseeds: [0]\nbits: [12]\n", "1:1", "the key 'bits' twice"),
    ],
)
def test_a_file_that_is_not_yaml_is_named_with_line_and_column(tmp_path, text, position, advice):
    message = problem(tmp_path, text)
    assert message.startswith(f"mine.yaml:{position}: ")
    assert advice in message


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"none\.yaml is missing"):
        configuration.check(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"label: caf\xe9")
    with pytest.raises(BenchmarkError, match=r"latin\.yaml cannot be read as YAML"):
        configuration.check(tmp_path / "latin.yaml")


def test_the_files_of_the_project_are_accepted():
    for path in sorted(ROOT.glob("config/**/*.yaml")):
        configuration.check(path)


@pytest.mark.parametrize("text", ["", "# a comment", "[1, 2]", "bits"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    assert problem(tmp_path, text).startswith("mine.yaml has no keys")


@pytest.mark.parametrize("bits", ["020", "0o20", "1_6", "١٢"])
def test_a_number_on_the_command_line_has_no_second_meaning(bits):
    """`snakemake --config 'bits=[020]'` gives a list of texts."""
    config = {key: [] for key in ("datasets", "features", "methods", "controls", "seeds", "timed")}
    seen = []
    with pytest.raises(InterruptedError):
        Plan.load(config | {"bits": [bits, "16"]}, validate=stopping(seen))
    assert seen == [[bits, 16]], "the schema, which expects whole numbers, names the text"


def stopping(seen):
    def validate(config):
        seen.append(config["bits"])
        raise InterruptedError

    return validate


def snakemake(folder, *arguments):
    """The exit status and the lines that snakemake prints on errors."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_a_configuration_file_runs_no_code(tmp_path, profile):
    """Snakemake would execute it before it reads the Snakefile."""
    path = tmp_path / "mine.yaml"
    code = f"open({str(tmp_path / 'HACKED')!r}, 'w')"
    path.write_text(f'__use_yte__: true\n__definitions__:\n  - "{code}"\nbits: [8]\n')
    status, lines = snakemake(ROOT, "--workflow-profile", profile, "--configfile", path)
    assert not (tmp_path / "HACKED").exists()
    assert status == 1
    assert lines[-1].startswith(f"config: {path}:1:1: found the key '__use_yte__'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--configfile", "none.yaml"], "none.yaml is missing"),
        (["--configfile=none.yaml"], "none.yaml is missing"),
        (["-n", "--configfiles", "config/config.yaml", "all"], "all is missing"),
        (["--configfile", "config"], "config cannot be read as YAML"),
        (["--config", "bits=[8,", "12]"], "found '12]', expected KEY=VALUE"),
        (["-C", "bits"], "found 'bits', expected KEY=VALUE"),
    ],
)
def test_arguments_that_snakemake_answers_with_a_traceback(monkeypatch, arguments, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        configuration.check_arguments(arguments)
    assert stopped.value.code.startswith("config: ")
    assert message in stopped.value.code


def test_arguments_that_are_right(monkeypatch):
    monkeypatch.chdir(ROOT)
    configuration.check_arguments(["-c2", "none.yaml", "--config", "bits=[8]", "--", "none.yaml"])
    configuration.check_arguments(["--configfile", "config/paper.yaml", "-n", "--config=name=a"])


def test_the_workflow_checks_its_configuration(tmp_path):
    for text, message in (
        ("bits: [012]", "1:8: found 012, which YAML reads as 10"),
        ("bits: [8]\nlabel: BGAN: mine", "2:12: found a second"),
    ):
        (tmp_path / "mine.yaml").write_text(text)
        status, lines = snakemake(ROOT, "--configfile", tmp_path / "mine.yaml")
        assert status == 1
        assert f"mine.yaml:{message}" in lines[-1]
        assert len(lines) < 3
