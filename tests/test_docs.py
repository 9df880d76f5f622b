"""The documentation: the reference has everything, links lead somewhere, tutorials run."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import yaml
from builders import Copy

import evaluation
from evaluation import metrics, presets
from harness import plugins
from harness.plugins import ROOT

pytest.importorskip("numpydoc", reason="needs numpydoc, of requirements-docs.txt")
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "generated" not in path.parts)
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
BLOCK = re.compile(
    r"^```(?P<open>[^\n]*)\n(?P<options>(?::\w+:[^\n]*\n)*)\n?(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
TOLERANCE = 0.01  # of a number on another kind of processor


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The reference


def test_the_reference_has_every_configuration_key(generate):
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    page = generate.configuration()
    for key in schema["properties"]:
        assert f".. _key-{key}:\n" in page
    for key in schema["$defs"]["variants"]["additionalProperties"]["properties"]:
        assert f"* - ``{key}``" in page


def test_a_key_without_a_text_is_an_error(generate, monkeypatch):
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    schema["properties"]["novel"] = {"type": "object"}
    read = generate._yaml
    monkeypatch.setattr(generate, "_yaml", lambda path: schema if "schema" in path else read(path))
    with pytest.raises(ValueError, match="novel"):
        generate.configuration()


@pytest.mark.parametrize("stage", ["datasets", "features", "methods"])
def test_the_reference_has_every_plugin_with_its_parameters(generate, stage):
    page = generate.catalogue(stage)
    sections = page.split(f".. _{stage}-")[1:]
    sections_by_name = {text.partition(":")[0]: text for text in sections}
    assert sections_by_name.keys() == {*plugins.names(stage), "contract"}
    for name in plugins.names(stage):
        for keyword in plugins.read_plugin(stage, name).defaults:
            assert keyword == "seed" or f"* - ``{keyword}``" in sections_by_name[name]


def test_the_reference_has_every_variant(generate):
    entries = yaml.safe_load((ROOT / "config/variants.yaml").read_text())["variants"]
    page = generate.named_variants()
    for names in entries.values():
        for name in names:
            assert f".. _variant-{name}:\n" in page


def test_the_reference_has_every_metric_and_preset(generate):
    page = generate.metrics()
    groups = metrics.WHOLE, metrics.CUT, metrics.LOOKUP, metrics.GRADED, metrics.NEIGHBOURS
    for group in groups:
        for name in group:
            assert f".. _metric-{name}:\n" in page
    for name in presets.PRESETS:
        assert f"* - ``{name}``" in page


def test_the_reference_has_every_public_function_of_the_library(generate):
    page = generate.api()
    assert f".. py:function:: {evaluation.score.__name__}(" in page
    for module in generate.library_modules():
        path = ROOT / "evaluation" / f"{module.replace('.', '/')}.py"
        for node in ast.parse(path.read_text()).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if public:
                assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"
                assert re.search(rf"\.\. py:\w+:: {node.name}\b", page)


def test_every_command_line_is_found(generate):
    modules = generate.command_modules()
    assert set(plugins.STAGES) <= set(modules)
    for path in (ROOT / "benchmarks").glob("*.py"):
        is_command = 'if __name__ == "__main__"' in path.read_text()
        assert is_command == (f"benchmarks.{path.stem}" in modules)


def test_a_parser_is_read_with_its_commands_and_defaults(generate):
    parser = generate.captured("experiments")
    source = (ROOT / "experiments/__main__.py").read_text()
    assert set(re.findall(r'add\(\s*"([\w-]+)"', source)) == set(parser["commands"])
    merging = parser["commands"]["merge"]
    assert [argument["name"] for argument in merging["arguments"]] == ["OTHER/results"]


def test_every_target_of_the_makefile_has_a_text(generate):
    targets = dict(generate.make_targets())
    assert "``make docs``" in targets
    assert all(targets.values())


# Links and examples


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_links_between_pages_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        base = DOCS if name.startswith("/") else page.parent
        path = (base / name.lstrip("/")).resolve() if name else page
        if "generated" in path.parts:
            assert path.stem in {"api", "commands", "configuration", "metrics", "variants"} | set(
                plugins.STAGES
            )
            continue
        assert path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page}: {target}"


def anchors(path):
    """The anchors of the headings of a page, as GitHub and MyST make them."""
    anchors_of_page = set()
    for heading in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower())
        anchors_of_page.add(words.strip().replace(" ", "-"))
    return anchors_of_page


def test_pages_are_in_the_table_of_contents():
    listed = set()
    for page in PAGES:
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            for line in block.splitlines():
                entry = re.sub(r".*<(.+)>", r"\1", line.strip())
                if entry and not entry.startswith(":"):
                    base = DOCS if entry.startswith("/") else page.parent
                    listed.add((base / f"{entry.lstrip('/')}.md").resolve())
    fragments = {path for path in PAGES if path.name.endswith(".svg.md")}
    assert set(PAGES) - listed == {DOCS / "index.md", *fragments}


def test_the_worked_example_gives_what_the_page_shows(capsys):
    text = (DOCS / "explanation/metrics.md").read_text()
    code = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    exec(code[1].replace("bgan_bench", "evaluation"), {})
    assert capsys.readouterr().out == code[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_yaml_on_a_page_is_valid(page):
    for kind, _, _, body in blocks(page):
        if kind == "yaml":
            assert yaml.safe_load(body)


# Tutorials


def blocks(page):
    """(kind, caption, options, body) of every fenced block: sh, text, python, yaml, console."""
    parsed = []
    for match in BLOCK.finditer(page.read_text()):
        kind = match["open"].replace("{code-block}", "").strip()
        caption = re.search(r":caption: (.+)", match["options"])
        parsed.append((kind, caption and caption[1], match["options"], match["body"]))
    return parsed


def assert_shown(output, shown, page):
    """Each shown line is in the output; numbers may differ a little between processors."""
    printed = [numbers_of(line) for line in output.splitlines()]
    for line in shown.splitlines():
        words, numbers = numbers_of(line)
        values = [other for same, other in printed if same == words]
        close = [np.allclose(numbers, other, rtol=0, atol=TOLERANCE) for other in values]
        assert any(close), f"{page.name} shows {line!r}, the command printed\n{output}"


def numbers_of(line):
    """Words of a line with # for decimals, and these."""
    words = re.sub(r"\d+\.\d+", "#", " ".join(line.split()))
    return words, [float(number) for number in re.findall(r"\d+\.\d+", line)]


@pytest.fixture(scope="module")
def project(request, tmp_path_factory):
    """A copy of the project in which all tutorials run; the runs that they share run once."""
    if request.config.getoption("markexpr") != "docs":
        pytest.skip("the tutorials take a minute and more: make docs")
    folder = tmp_path_factory.mktemp("tutorials") / "bgan-bench"
    Copy(folder)
    shutil.copytree(ROOT / "results/published", folder / "results/published")
    return folder


@pytest.mark.docs
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_prints_what_it_shows(page, project):
    hidden = ("BGAN_BENCH", "SNAKEMAKE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    binaries = os.path.dirname(sys.executable)
    environment = inherited | {"PATH": f"{binaries}{os.pathsep}{inherited['PATH']}"}
    output = ""
    for kind, caption, _, body in blocks(page):
        if caption:
            (project / caption).write_text(body)
        elif kind == "sh":
            done = subprocess.run(
                ["bash", "-ec", body], cwd=project, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{page.name}: {body}{done.stdout}{done.stderr}"
            output = done.stdout
        elif kind == "text":
            assert_shown(output, body, page)


# The site


@pytest.fixture(scope="module")
def site(request):
    """The site in build/site/, which `make docs` builds by this test."""
    if request.config.getoption("markexpr") != "docs":
        pytest.skip("the site takes a minute to build: make docs")
    folder = ROOT / "build/site"
    shutil.rmtree(folder, ignore_errors=True)
    options = ["--fail-on-warning", "--keep-going", "-q", "-d", str(ROOT / "build/doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Links(HTMLParser):
    """Addresses and ids of a page."""

    def __init__(self):
        super().__init__()
        self.addresses, self.ids = [], set()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        self.addresses += [given[name] for name in ("href", "src") if given.get(name)]


@pytest.mark.docs
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site):
    pages = {}
    for path in site.rglob("*.html"):
        if "_static" in path.parts:  # templates of the theme
            continue
        pages[path] = Links()
        pages[path].feed(path.read_text(encoding="utf-8"))
    assert len(pages) > 30
    for path, page in pages.items():
        for address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            assert target.is_file(), f"{path.relative_to(site)}: {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{path.name}: {address}"


@pytest.mark.docs
def test_the_site_has_the_leaderboard_in_its_navigation(site):
    data = re.search(
        r'<script type="application/json" id="data">(.*?)</script>',
        (site / "leaderboard.html").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert json.loads(data[1])["rankings"]
    assert 'href="../leaderboard.html"' in (site / "explanation/metrics.html").read_text()


def test_measured_results_of_the_present_code_are_first(generate):
    """The others are marked; a test of the published folders compares the list with the code."""
    page = generate.measured()
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    parts = dict(zip(headings, re.split(r"^## .*$", page, flags=re.MULTILINE)[1:], strict=True))
    marked = ["an earlier version of the code" in parts[name] for name in headings]
    assert marked == sorted(marked)
    assert not all(marked)


def test_a_published_figure_becomes_a_part_of_the_page(generate, monkeypatch, tmp_path):
    """Its ids are its own, since a page may show several figures, and its colours the page's."""
    monkeypatch.setattr(generate, "GENERATED", tmp_path)
    address = "../../results/published/cifar10-field/overview.svg"
    page = generate.with_published_figures(f"before\n\n![Curves]({address})\n", "explanation/a")
    assert page.splitlines() == [
        "before",
        "",
        "```{raw} html",
        ":file: ../generated/cifar10-field-overview.html",
        "```",
    ]
    part = (tmp_path / "cifar10-field-overview.html").read_text(encoding="utf-8")
    assert 'aria-label="Curves"' in part
    assert 'id="cifar10-field-overview-figure_1"' in part
    assert "prefers-color-scheme" not in part


def test_a_measured_table_keeps_the_dash_of_a_row_that_was_not_run(generate, tmp_path):
    path = tmp_path / "map.csv"
    path.write_text(
        'Panel,Method,12 bits,"12 bits, deviation",16 bits,"16 bits, deviation"\n'
        '"Digits, Pixels",ITQ,0.6126,0.0112,0.6267,\n'
        '"Digits, Pixels",DeepBit,\N{EN DASH},,0.4919,0.03\n',
        encoding="utf-8",
    )
    (table,) = generate._tables_of(path)
    assert table.splitlines()[2:] == [
        "| ITQ | 0.613\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.011 | 0.627 |",
        "| DeepBit | \N{EN DASH} | 0.492\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.030 |",
    ]
