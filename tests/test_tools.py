"""Formatters and continuous integration: every tool and action is pinned, and to one version."""

import re

import pytest
import yaml

from harness.plugins import ROOT

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def jobs(workflow):
    return yaml.safe_load(workflow.read_text())["jobs"].values()


def test_pre_commit_has_the_versions_of_make_lint():
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "snakefmt"}
    for hook in hooks:
        assert set(hook["additional_dependencies"]) <= set(constraints)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_have_no_credentials(workflow):
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    steps = [step for job in jobs(workflow) for step in job["steps"] if "uses" in step]
    assert steps
    for step in steps:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"] == {"persist-credentials": False}


@pytest.mark.parametrize("file", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
def test_every_requirement_has_a_lowest_version_and_an_exact_one(file):
    exact = dict.fromkeys(re.findall(r"(?m)^([\w-]+)==", (ROOT / "constraints.txt").read_text()))
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        name = re.match(r"([\w-]+)>=[\d.]+", line)[1]
        assert name.replace("_", "-") in exact
