"""Write the reference pages into docs/generated/, from the code itself.

The pages are made from the schema of configurations, the comments of the default one, the parsers
of the commands, the sources of the plugins, and docstrings. No plugin is imported.
"""

from __future__ import annotations

import ast
import csv
import itertools
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from numpydoc.docscrape_sphinx import SphinxDocString

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import results  # noqa: E402
from harness import plugins, variants  # noqa: E402

GENERATED = ROOT / "docs/generated"
PUBLISHED = ROOT / "results/published"
INCLUDED = {"CONTRIBUTING.md": "contributing", "results/published/README.md": "measured"}
LIBRARY = "bgan_bench"  # name of evaluation/ when it is installed
# A published figure in Markdown: its text, its folder and its name.
PICTURE = r"!\[([^]]*)\]\((?:\.\./)+results/published/([^/]+)/([^)]+)\.svg\)"
KINDS = {"methods": "Methods", "datasets": "Data sets", "features": "Feature extractors"}
BASES = {"methods": "Hasher", "datasets": "Dataset", "features": "Extractor"}
# Prints the parser of a command as JSON, instead of running it.
CAPTURE = Path(__file__).with_name("capture_parser.py")


def write(folder: Path = GENERATED) -> None:
    """Write all pages. A page that has not changed keeps its time, so Sphinx does not reread it."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{name}.rst": text for name, text in _reference().items()}
    pages |= {"measured.md": measured(), "benchmarks.md": f"{results.table()}\n"}
    pages |= included_pages()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _reference() -> dict[str, str]:
    return {
        "configuration": configuration(),
        "commands": commands(),
        "variants": named_variants(),
        "metrics": metrics(),
        "api": api(),
        **{stage: catalogue(stage) for stage in KINDS},
    }


# ------------------------------------------------------- pages of the repository


def measured() -> str:
    """Return the curves and mean average precision of every published experiment, in Markdown.

    Those of the present code are first.
    """
    readme = (PUBLISHED / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^Out of date: (.*)\.$", readme, re.MULTILINE)
    earlier = set(re.findall(r"`([^`]+)/`", line[1])) if line else set()

    parts = []
    paths = PUBLISHED.glob("*/map.csv")
    for path in sorted(paths, key=lambda path: (path.parent.name in earlier, path)):
        name = path.parent.name
        parts.append(f"## {name}")
        if name in earlier:
            parts.append("Measured with an earlier version of the code.")
        if (path.parent / "overview.svg").is_file():
            figure = _figure_of_page(path.parent)
            parts.append(f"```{{raw}} html\n:file: {figure}\n```")
        parts += _tables_of(path)
    return "\n\n".join(parts) + "\n"


def _figure_of_page(folder: Path, figure: str = "overview", label: str = "") -> str:
    """Write a figure of a folder as a part of a page, which has the colours of its theme.

    The styles of the file would apply to the page, and its ids may be in other figures too.
    """
    name = f"{folder.name}-{figure}"
    text = (folder / f"{figure}.svg").read_text(encoding="utf-8")
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(rf'(id="|#){figure}-', rf"\1{name}-", text)
    label = label or f"Mean average precision: {folder.name}"
    svg = text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    GENERATED.mkdir(parents=True, exist_ok=True)
    # A region that scrolls on a phone has to be reachable by keys.
    html = f'<div class="overview" tabindex="0">\n{svg}</div>\n'
    (GENERATED / f"{name}.html").write_text(html, encoding="utf-8")
    return f"generated/{name}.html"


def _tables_of(path: Path) -> Iterator[str]:
    """Yield the panels of a map.csv as tables: mean and deviation in one cell."""
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    lengths = header[2::2]
    for panel, group in itertools.groupby(rows, key=lambda row: row[0]):
        lines = [f"| {panel} | {' | '.join(lengths)} |", "|---" * (len(lengths) + 1) + "|"]
        for _, method, *numbers in group:
            cells = itertools.starmap(_cell, zip(numbers[::2], numbers[1::2], strict=True))
            lines.append(f"| {method} | {' | '.join(cells)} |")
        yield "\n".join(lines)


def _cell(mean: str, deviation: str) -> str:
    """Return a mean and its deviation; a dash, or what else stands for no number, stays."""
    if not mean or not mean[0].isdigit():
        return mean
    text = f"{float(mean):.3f}"
    return f"{text}\u00a0±\u00a0{float(deviation):.3f}" if deviation else text


def included_pages() -> dict[str, str]:
    """Return the pages outside of docs/ that the site includes, with links to pages of the site."""
    pages = {}
    for path, name in INCLUDED.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        pages[f"included-{name}.md"] = with_links_of_the_site(text)
    return pages


def with_published_figures(text: str, page: str) -> str:
    """Return Markdown with the published figures that it shows as parts of the page.

    page: its path below docs/.
    """
    root = "../" * page.count("/")

    def part_of_page(picture: re.Match) -> str:
        label, folder, figure = picture.groups()
        file = _figure_of_page(PUBLISHED / folder, figure, label)
        return f"```{{raw}} html\n:file: {root}{file}\n```"

    return re.sub(PICTURE, part_of_page, text)


def with_links_of_the_site(text: str) -> str:
    """Return Markdown in which links to docs/ and to included pages lead to pages of the site."""
    text = re.sub(r"\]\((?:\.\./)+docs/", "](/", text)
    for path, name in INCLUDED.items():
        text = re.sub(rf"\]\((?:\.\./)+{re.escape(path)}", f"](/{name}.md", text)
    return text


# ------------------------------------------------------------------- configuration


def configuration() -> str:
    """Return the page of all keys: types of the schema, text of the comments in config.yaml."""
    schema = _yaml("config/schema.yaml")
    texts = comments_of_keys((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    defaults = _yaml("config/config.yaml")
    parts = [
        heading("Configuration keys", "="),
        "A configuration is a YAML file. ``config/config.yaml`` has the defaults, and another "
        "file is merged into it.",
    ]
    for key, rule in schema["properties"].items():
        text = rule.get("description") or texts.get(key)
        if not text:
            raise ValueError(
                f"config/schema.yaml: {key} has no text: add a description there, or a comment "
                "above it in config/config.yaml"
            )
        parts += [label(f"key-{key}"), heading(f"``{key}``", "-"), text]
        facts = [f"Type: {described(rule, schema)}."]
        if key in defaults:
            facts.append(f"Default: ``{json.dumps(defaults[key])}``.")
        parts.append(" ".join(facts))

    entry = schema["$defs"]["variants"]["additionalProperties"]
    texts = comments_of_variants((ROOT / "config/variants.yaml").read_text(encoding="utf-8"))
    parts += [label("variant-keys"), heading("Keys of a variant", "-")]
    parts.append(
        "``variants`` has up to three mappings, ``datasets``, ``features`` and ``methods``. Each "
        "maps a name of your own to an entry with these keys."
    )
    rows = []
    for key, rule in entry["properties"].items():
        rows.append((f"``{key}``", texts[key], described(rule, schema)))
    parts.append(table(("Key", "Meaning", "Type"), rows))
    return page(parts)


def comments_of_keys(text: str) -> dict[str, str]:
    """Return the comment above each top-level key of a YAML text."""
    texts, comment = {}, []
    for line in text.splitlines():
        key = re.match(r"([a-z_]+):", line)
        if line.startswith("#"):
            comment.append(line.removeprefix("#").removeprefix(" "))
        elif key:
            texts[key[1]] = _as_rst(comment)
            comment = []
        elif not line.strip():
            comment = []
    return texts


def _as_rst(lines: list[str]) -> str:
    """Return comment lines as a paragraph; indented lines at its end are an example."""
    words = [line for line in lines if not line.startswith("  ")]
    code = [line for line in lines if line.startswith("  ")]
    text = escaped(" ".join(words).strip())
    if not code:
        return text
    return f"{text}\n\n.. code-block:: yaml\n\n{textwrap.indent(chr(10).join(code), '   ')}"


def comments_of_variants(text: str) -> dict[str, str]:
    """Return {key: meaning} of the table in the comment at the top of config/variants.yaml."""
    meanings: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        start, more = re.match(r"#   (\w+) {2,}(.+)", line), re.match(r"# {8,}(\S.*)", line)
        if start:
            key = start[1]
            meanings[key] = escaped(start[2])
        elif more and key:
            meanings[key] += " " + escaped(more[1])
    return meanings


def described(rule: dict, schema: dict) -> str:
    """Return a rule of the schema in words."""
    if reference := rule.get("$ref"):
        name = reference.rpartition("/")[2]
        named = {
            **{"name": "name", "names": "list of names", "variants": "mapping of variants"},
            **{"method": "name, each alone or with bits and timed", "length": "code length"},
            "bits": "list of code lengths, 1 to 1024",
        }
        return named[name]
    if "enum" in rule:
        return "one of " + ", ".join(f"``{value}``" for value in rule["enum"])
    words = {"array": "list", "object": "mapping", "string": "text", "integer": "whole number"}
    text = words[rule["type"]]
    if rule["type"] == "array" and "enum" in rule["items"]:
        text = "list of " + ", ".join(f"``{value}``" for value in rule["items"]["enum"])
    elif rule["type"] == "array":
        item, comma, more = described(rule["items"], schema).partition(",")
        text = f"list of {item}s{comma}{more}"
    if "maximum" in rule:
        text += f", {rule['minimum']} to {rule['maximum']}"
    return text


# ------------------------------------------------------------------------ commands


def command_modules() -> list[str]:
    """Return the modules with a command line: stages and benchmarks."""
    stages = [name for name in plugins.STAGES if (ROOT / name / "__main__.py").is_file()]
    files = sorted((ROOT / "benchmarks").glob("*.py"))
    benchmarks = [path.stem for path in files if "ArgumentParser(" in path.read_text()]
    return [*stages, *(f"benchmarks.{name}" for name in benchmarks)]


def commands() -> str:
    """Return the page of all commands, from their parsers and from the Makefile."""
    parts = [heading("Commands", "="), "All commands run in the folder of the checkout."]
    parts += [heading("make", "-"), table(("Command", "Meaning"), list(make_targets()))]
    parts += [heading("snakemake", "-")]
    parts.append(
        "``snakemake --cores all`` runs the default experiment, and ``--configfile FILE`` another "
        "one. ``--config 'bits=[32]'`` sets a :doc:`key <configuration>`, ``-n`` prints the jobs "
        "without running them, ``partial`` as a target writes the tables of the complete runs."
    )
    modules = command_modules()
    with ThreadPoolExecutor(2) as pool:
        for module, parser in zip(modules, pool.map(captured, modules), strict=True):
            parts += [label(f"command-{module}"), heading(f"python -m {module}", "-")]
            parts += _command(parser, f"python -m {module}")
    return page(parts)


def captured(module: str) -> dict:
    """Return the parser of a command as JSON values; its process stops before it does anything."""
    done = subprocess.run(
        [sys.executable, str(CAPTURE), module], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"python -m {module}: its parser was not found:\n{done.stderr}")
    return json.loads(done.stdout)


def _command(parser: dict, name: str) -> Iterator[str]:
    if parser["description"]:
        yield described_text(parser["description"])
    yield f".. code-block:: text\n\n{textwrap.indent(parser['usage'], '   ')}"
    arguments = [
        (f"``{argument['name']}``", escaped(argument["help"])) for argument in parser["arguments"]
    ]
    if arguments:
        yield table(("Argument", "Meaning"), arguments)
    for job, nested in parser["commands"].items():
        yield heading(f"{name} {job}", "~")
        yield from _command(nested, f"{name} {job}")


def described_text(text: str) -> str:
    """Return the description of a parser: its paragraphs, or all of it if it has a layout."""
    if re.search(r"\n\s{2,}\S", text):
        return f".. code-block:: text\n\n{textwrap.indent(text, '   ')}"
    return escaped(text)


def make_targets() -> Iterator[tuple[str, str]]:
    """Yield (command, meaning) of each target of the Makefile, from the text behind `##`."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    names = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    for name in names:
        match = re.search(rf"^{name}:.*## (.*)$", text, re.MULTILINE)
        yield f"``make {name}``", escaped(match[1] if match else "")


# ------------------------------------------------------------------------- plugins


def catalogue(stage: str) -> str:
    """Return the page of the plugins of a stage: the contract, then each class."""
    parts = [heading(KINDS[stage], "="), _summary(stage)]
    for name in plugins.names(stage):
        plugin = plugins.read_plugin(stage, name)
        parts += [label(f"{stage}-{name}"), heading(f"{plugin.label}: ``{name}``", "-")]
        parts.append(docstring(class_docstring(stage, name, plugin.class_name)))
        inherited = inherited_docstring(stage, name)
        if inherited:
            parts.append(docstring(inherited))
        parts += _facts(plugin)
    base = _class(ROOT / stage / "_base.py", BASES[stage])
    parts += [label(f"{stage}-contract"), heading(f"The contract: ``{base.name}``", "-")]
    parts.append(docstring(ast.get_docstring(base)))
    for node in base.body:
        text = isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
        if text and not node.name.startswith("_"):
            parts += [heading(f"``{node.name}({signature(node)})``", "~"), docstring(text)]
    return page(parts)


def _summary(stage: str) -> str:
    rows = []
    for name in plugins.names(stage):
        plugin = plugins.read_plugin(stage, name)
        first = class_docstring(stage, name, plugin.class_name).partition("\n\n")[0]
        rows.append((f":ref:`{name} <{stage}-{name}>`", plugin.label, escaped(_flat(first))))
    return table(("Name", "Label", "Summary"), rows)


def class_docstring(stage: str, name: str, class_name: str) -> str:
    """Return the docstring of the class of a plugin, or that of its file."""
    path = ROOT / stage / f"{name}.py"
    text = ast.get_docstring(_class(path, class_name)) or ast.get_docstring(_tree(path))
    if not text:
        raise ValueError(f"{stage}/{name}.py: {class_name} has no docstring: add one")
    return text


def inherited_docstring(stage: str, name: str) -> str:
    """Return the docstring of the class in `_*.py` from which a plugin inherits its parameters."""
    tree = _tree(ROOT / stage / f"{name}.py")
    for node in tree.body:
        module = isinstance(node, ast.ImportFrom) and (node.module or "")
        if not module or not module.startswith(f"{stage}._") or module == f"{stage}._base":
            continue
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        bases = _base_names(tree)
        for other in _tree(path).body:
            if isinstance(other, ast.ClassDef) and other.name in bases:
                return ast.get_docstring(other) or ""
    return ""


def _base_names(tree: ast.Module) -> set[str]:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bases = [base for node in classes for base in node.bases]
    return {base.id for base in bases if isinstance(base, ast.Name)}


def _facts(plugin: plugins.Component) -> Iterator[str]:
    """Yield the parameters with their defaults, and what the class declares."""
    parameters = {name: value for name, value in plugin.defaults.items() if name != "seed"}
    if parameters:
        rows = [
            (f"``{name}``", "required" if value is ... else f"``{json.dumps(value)}``")
            for name, value in parameters.items()
        ]
        yield table(("Parameter", "Default"), rows)
    facts = [f"consumes {', '.join(f'``{name}``' for name in plugin.consumes)}"]
    if plugin.stage == "methods":
        facts.append("uses a seed" if "seed" in plugin.defaults else "has no randomness")
        facts.append("runs on a GPU if there is one" * bool(plugin.member("uses_gpu")))
        sample = plugin.member("sample")
        facts.append(f"is fitted on at most {sample:,} rows" if sample else "")
    if plugin.stage == "datasets" and plugin.member("protocols") != ("default",):
        names = ", ".join(f"``{plugin.name}-{name}``" for name in plugin.member("protocols"))
        facts = [f"protocols: {names}"]
    elif plugin.stage == "datasets":
        facts = []
    if plugin.literals.get("citation"):
        facts.append(f"cited as ``{plugin.literals['citation']}``")
    text = "; ".join(filter(None, facts))
    if text:
        yield f"{text[0].upper()}{text[1:]}."


def named_variants() -> str:
    """Return the page of the variants in config/variants.yaml."""
    entries = _yaml("config/variants.yaml")["variants"]
    catalogue_of = variants.Catalogue(entries)
    parts = [heading("Variants", "=")]
    parts.append(
        "A variant is a plugin with other parameters under a name of its own. Every configuration "
        "can use these names, and :ref:`define more <variant-keys>`. They are in "
        "``config/variants.yaml``."
    )
    for stage in KINDS:
        names = entries.get(stage) or {}
        if names:
            parts.append(heading(KINDS[stage], "-"))
        for name in names:
            variant = catalogue_of.resolve(stage, name)
            parts += [label(f"variant-{name}"), heading(f"``{name}``", "~")]
            parts.append(_variant(stage, variant))
    return page(parts)


def _variant(stage: str, variant: variants.Variant) -> str:
    plugin = variant.plugin.name
    lines = [f"{escaped(variant.label)}. A variant of :ref:`{plugin} <{stage}-{plugin}>`."]
    if variant.note:
        lines.append(f"{escaped(variant.note[0].upper() + variant.note[1:])}.")
    if variant.datasets:
        lines.append(f"For {', '.join(f'``{name}``' for name in variant.datasets)} only.")
    if variant.neighbours != variants.METRICS[0]:
        lines.append(f"Neighbours by ``{variant.neighbours}``.")
    if variant.fitted_on:
        lines.append("Fitted on the views of the training images, as ordinary rows.")
    text = " ".join(lines)
    if not variant.overrides:
        return text
    rows = [(f"``{key}``", f"``{json.dumps(value)}``") for key, value in variant.overrides.items()]
    return f"{text}\n\n{table(('Parameter', 'Value'), rows)}"


# -------------------------------------------------------------- metrics and the API


def metrics() -> str:
    """Return the page of all metrics and presets, from evaluation/."""
    tree = _tree(ROOT / "evaluation/metrics.py")
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    groups = {
        "WHOLE": "Metrics of the whole ranking",
        "CUT": "Metrics of the first ranks",
        "LOOKUP": "Metrics of the Hamming ball of radius 2",
        "GRADED": "Metrics of graded relevance",
        "NEIGHBOURS": "Metrics without labels",
    }
    parts = [heading("Metrics", "=")]
    parts.append(
        "``k`` stands for a number of ranks: write ``precision@100``. Every value is the exact "
        "expectation over random orders of ties. :doc:`/explanation/metrics` has the formulas."
    )
    for group, title in groups.items():
        parts.append(heading(title, "-"))
        for name, value in metric_entries(tree, group):
            parts += [label(f"metric-{name}"), heading(f"``{name}``", "~")]
            parts.append(_metric(value, functions))
    parts += [heading("Presets", "-"), ast_docstring("evaluation/presets.py")]
    parts += [_presets()]
    return page(parts)


def metric_entries(tree: ast.Module, group: str) -> list[tuple[str, ast.expr]]:
    """Return the (name, value) of a dictionary that a module assigns to the name `group`."""
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == group:
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return [(key.value, value) for key, value in pairs]
    raise ValueError(f"evaluation: {group} is missing")


def _metric(value: ast.expr, functions: dict[str, ast.FunctionDef]) -> str:
    """Return the text of a metric: the docstring of the function that its entry names."""
    names = [node.id for node in ast.walk(value) if isinstance(node, ast.Name)]
    own = [name for name in names if name in functions]
    parts = [docstring(ast.get_docstring(functions[name])) for name in own]
    if not isinstance(value, ast.Name):
        parts.insert(0, f".. code-block:: python\n\n   {ast.unparse(value)}")
    return "\n\n".join(parts)


def _presets() -> str:
    """Return the table of the presets; the comment above each entry is its description."""
    text = (ROOT / "evaluation/presets.py").read_text(encoding="utf-8")
    body = text.partition("PRESETS = {")[2].partition("\n}")[0]
    rows, comment = [], []
    for line in body.splitlines():
        entry = re.match(r'    "([\w-]+)": Preset\((.*)\),', line)
        if line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("# "))
        elif entry:
            rows.append((f"``{entry[1]}``", escaped(" ".join(comment)), f"``{entry[2]}``"))
            comment = []
    header = ("Preset", "Program", "Cut, denominator, query without a hit")
    fields = docstring(ast.get_docstring(_class(ROOT / "evaluation/presets.py", "Preset")))
    return f"{table(header, rows)}\n\n{fields}"


def api() -> str:
    """Return the page of the package bgan_bench: all public functions and classes."""
    parts = [heading("Python package bgan_bench", "=")]
    for module in library_modules():
        path = ROOT / "evaluation" / f"{module.replace('.', '/')}.py"
        name = LIBRARY if module == "__init__" else f"{LIBRARY}.{module}"
        parts += [heading(name, "-"), f".. py:module:: {name}"]
        parts.append(docstring(ast.get_docstring(_tree(path))))
        parts += _members(_tree(path))
    return page(parts)


def library_modules() -> list[str]:
    """Return the modules of the package, without its compiled kernels."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = [
        name.removeprefix(f"{LIBRARY}.") for name in project["tool"]["setuptools"]["py-modules"]
    ]
    return [name for name in names if not name.startswith(("kernels", "compiling"))]


def _members(tree: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in tree.body:
        text = isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
        if not text or node.name.startswith("_"):
            continue
        rendered = docstring(text)
        if isinstance(node, ast.ClassDef):
            rendered += "".join(f"\n\n{member}" for member in _members(node))
            yield _directive("class", node.name, rendered)
        elif isinstance(tree, ast.ClassDef):
            yield _directive("method", f"{node.name}({signature(node)})", rendered)
        else:
            yield _directive("function", f"{node.name}({signature(node)})", rendered)


def _directive(kind: str, name: str, text: str) -> str:
    return f".. py:{kind}:: {name}\n\n{textwrap.indent(text, '   ')}"


def signature(node: ast.FunctionDef) -> str:
    """Return the arguments of a function without types and without self."""
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
        argument.annotation = None
    text = ast.unparse(node.args)
    return re.sub(r"^(self|cls)(, )?", "", text)


# ------------------------------------------------------------------------ documents


def docstring(text: str) -> str:
    """Return a numpydoc docstring as reStructuredText."""
    rendered = str(SphinxDocString(text, config={}))
    rendered = rendered.replace(".. only:: latex\n\n", "")
    return re.sub(r"\n{3,}", "\n\n", rendered).strip()


def ast_docstring(path: str) -> str:
    """Return the docstring of a module as reStructuredText."""
    return docstring(ast.get_docstring(_tree(ROOT / path)))


def heading(text: str, underline: str) -> str:
    return f"{text}\n{underline * max(len(text), 4)}"


def label(name: str) -> str:
    return f".. _{name}:"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :class: reference-table", ""]
    for row in [header, *rows]:
        for index, cell in enumerate(row):
            mark = "   * - " if index == 0 else "     - "
            lines.append(mark + _flat(cell))
    return "\n".join(lines)


def page(parts: Iterable[str]) -> str:
    return "\n\n".join([".. Generated by docs/generate.py.", *parts]) + "\n"


def escaped(text: str) -> str:
    """Return plain text for reStructuredText; text in backticks becomes code."""
    text = re.sub(r"`+([^`]+)`+", r"``\1``", text)
    pieces = re.split(r"(``[^`]+``)", text)
    plain = [re.sub(r"([*|_\\])", r"\\\1", piece) for piece in pieces[::2]]
    pieces[::2] = plain
    return "".join(pieces)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _yaml(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _class(path: Path, name: str) -> ast.ClassDef:
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise ValueError(f"{path.relative_to(ROOT)} has no class {name}")


if __name__ == "__main__":
    write()
