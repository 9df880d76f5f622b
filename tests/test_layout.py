"""The imports of every file, compared with the documented architecture; the README is short."""

import ast
import sys

import pytest

from harness import plugins
from harness.plugins import ROOT

# What the files of a stage may import besides the standard library, their own stage and the core.
ALLOWED = {
    "datasets": {"numpy", "sklearn", "PIL"},
    "features": {"numpy", "torch", "PIL"},
    "methods": {"numpy", "scipy", "sklearn", "torch"},
    "evaluation": {"numpy", "scipy", "numba", "llvmlite"},
    "experiments": {"numpy", "scipy", "sklearn", "numba", "psutil", "evaluation"},
    "report": {"numpy", "pandas", "jinja2", "matplotlib", "yaml"},
}
LIBRARY = "evaluation"  # imports nothing of the project
# What the commands of a stage may import besides, for work on files of the project.
COMMANDS = {
    ROOT / LIBRARY / "__main__.py": {"experiments", "harness"},
    ROOT / "experiments/__main__.py": {"report"},  # which writes LaTeX
}
HARNESS_FILES = sorted((ROOT / "harness").rglob("*.py"))
STAGE_FILES = [path for stage in ALLOWED for path in sorted((ROOT / stage).rglob("*.py"))]


README_LINES = 120  # a newcomer reads this much; docs/ has the details


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def top_modules(path):
    return {name.partition(".")[0] for name in plugins.imported_modules(path)}


@pytest.mark.parametrize("path", STAGE_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_stage_imports_what_its_column_allows(path):
    stage = path.relative_to(ROOT).parts[0]
    core = set() if stage == LIBRARY else {"harness"}
    command = COMMANDS.get(path, set())
    allowed = ALLOWED[stage] | {stage} | core | command | sys.stdlib_module_names
    assert top_modules(path) <= allowed


# What modules of the harness may import besides the standard library.
HEAVY = {
    "configuration": {"yaml"},
    "determinism": {"torch"},
    "imagenet": {"torch"},
    "imported_codes": {"numpy", "scipy", "h5py", "torch"},
}


@pytest.mark.parametrize("path", HARNESS_FILES, ids=lambda path: path.name)
def test_the_core_needs_the_standard_library_only(path):
    assert top_modules(path) <= {"harness"} | HEAVY.get(path.stem, set()) | sys.stdlib_module_names


# For each package of the report: the third-party packages and the modules that it may import.
REPORT = {
    "tables": ({"numpy", "yaml"}, {"results", "tables"}),
    "figures": ({"numpy", "matplotlib"}, {"latex_text", "results", "tables", "figures"}),
    "writers": (
        {"jinja2"},
        {"latex_text", "results", "references", "summary", "leaderboard"}
        | {"tables", "figures", "writers"},
    ),
}


@pytest.mark.parametrize("package", REPORT)
def test_a_package_of_the_report_imports_what_its_column_allows(package):
    third_party, modules = REPORT[package]
    paths = sorted((ROOT / "report" / package).glob("*.py"))
    assert len(paths) > 1
    for path in paths:
        imported = {
            name.split(".")[1]
            for name in plugins.imported_modules(path)
            if name.startswith("report.")
        }
        assert imported <= modules, path.name
        assert top_modules(path) <= third_party | {"report", "harness"} | sys.stdlib_module_names, (
            path.name
        )


def test_the_report_has_three_packages_and_templates():
    folders = {path.name for path in (ROOT / "report").iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {"templates", *REPORT}


def test_no_module_is_at_the_top_level():
    assert not list(ROOT.glob("*.py"))


# Each module of the harness, and the others that it may import: there is no cycle.
HARNESS = {
    "errors": set(),
    "families": set(),
    "plain_text": set(),
    "gpus": {"errors"},
    "configuration": {"errors"},
    "progress": set(),
    "schemas": set(),
    "plugins": {"errors"},
    "storage": {"errors"},
    "imported_codes": {"errors", "user_data"},
    "fork_server": set(),
    "identity": {"errors", "plugins", "storage"},
    "provenance": {"gpus", "plugins"},
    "downloads": {"errors", "progress", "storage"},
    "variants": {"errors", "plugins"},
    "user_data": {"errors", "plugins", "storage", "variants"},
    "determinism": {"errors"},
    "imagenet": {"downloads", "errors", "storage", "user_data"},
    "plan": {"errors", "plugins", "schemas", "storage", "user_data", "variants"},
    "records": {
        "errors",
        "identity",
        "plan",
        "plugins",
        "provenance",
        "storage",
        "user_data",
        "variants",
    },
    "sealing": {"errors", "identity", "plan", "plugins", "provenance", "user_data", "variants"},
    "stale": {
        "errors",
        "identity",
        "records",
        "plan",
        "schemas",
        "storage",
        "user_data",
        "variants",
    },
}


def test_modules_of_the_harness_have_an_order():
    for path in HARNESS_FILES:
        imported = {
            name.split(".")[1]
            for name in plugins.imported_modules(path)
            if name.startswith("harness.")
        }
        assert imported <= HARNESS.get(path.stem, set()), path.name
    assert {path.stem for path in HARNESS_FILES} == {"__init__", *HARNESS}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "methods").glob("*.py")), ids=lambda path: path.name
)
def test_no_method_names_the_labels(path):
    assert "labels.npy" not in path.read_text()


def test_no_training_rule_reads_the_labels():
    """The rules ask the plan for their inputs: see test_plan.py for which jobs read labels."""
    text = (ROOT / "Snakefile").read_text()
    rules = dict(part.split(":", 1) for part in text.split("\nrule ")[1:])
    inputs = {
        name: body.partition("input:")[2].partition("output:")[0].strip()
        for name, body in rules.items()
    }
    for name in (
        "dataset",
        "features",
        "neighbours",
        "views",
        "encode",
        "score",
        "collect",
        "timing",
        "report",
    ):
        assert inputs[name] == f'inputs("{name}"),'


def test_planning_imports_nothing_heavy():
    names = set().union(*(top_modules(path) for path in HARNESS_FILES if path.stem not in HEAVY))
    assert not names & {"torch", "numpy", "pandas"}


def test_the_network_is_reached_by_one_module():
    """And nothing that the default experiment reads asks for it: see test_downloads.py."""
    reaching = {
        "urllib.request",
        "http.client",
        "socket",
        "ssl",
        "ftplib",
        "requests",
        "httpx",
        "torch.hub",
        "torchvision",
    }
    local = {"fork_server.py": {"socket"}, "gpus.py": {"socket"}}  # of this machine, AF_UNIX
    for path in [*HARNESS_FILES, *STAGE_FILES]:
        reached = plugins.imported_modules(path) & reaching - local.get(path.name, set())
        assert bool(reached) == (path.name == "downloads.py"), path
    for name in local:
        assert "AF_INET" not in (ROOT / "harness" / name).read_text()


@pytest.mark.parametrize("stage", ["methods", "datasets", "features"])
def test_every_plugin_can_be_read_without_importing_it(stage):
    for name in plugins.names(stage):
        part = plugins.read_plugin(stage, name)
        assert part.label != name, f"{stage}/{name}.py has no label"


def test_functions_are_short():
    """No function has more than sixty lines besides its docstring."""
    for path in [*HARNESS_FILES, *STAGE_FILES]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                assert node.end_lineno - first < 60, f"{path}: {node.name}"
