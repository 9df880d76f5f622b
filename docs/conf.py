"""Configuration of Sphinx: `make docs` builds the site into build/site/."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import generate  # noqa: E402

project = "bgan-bench"
author = "The bgan-bench authors"
copyright = author  # noqa: A001
release = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
version = release

extensions = ["myst_parser", "numpydoc", "mathml"]
html_math_renderer = "mathml"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["generated/*.md", "explanation/*.svg.md"]
default_role = "literal"  # single backticks in docstrings
nitpicky = True
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = "bgan-bench"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
templates_path = ["generated/templates"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher", "navbar-icon-links"],
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 6,
    "external_links": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
WITHOUT_SIDEBAR = ["index", "faq", "quickstart", "measured", "contributing"]
html_sidebars = {page: [] for page in WITHOUT_SIDEBAR}

LEADERBOARD = ROOT / "docs/generated/templates"


def use_included_pages(app, name, content) -> None:
    content[0] = generate.with_published_figures(content[0], name)
    content[0] = generate.with_links_of_the_site(content[0])


def keep_deviations_with_means(app, name, content) -> None:
    """Let no line of a narrow table break between a mean and its deviation."""
    content[0] = content[0].replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")


def use_leaderboard(app, name, template, context, tree) -> str | None:
    """Return the template of the leaderboard for its page: the page that the report wrote."""
    return "leaderboard.html" if name == "leaderboard" else None


def setup(app) -> None:
    generate.write()
    # A process of its own: the report sets the number of threads before it imports NumPy.
    command = [sys.executable, "-m", "report", "site", "--output", str(LEADERBOARD)]
    subprocess.run(command, cwd=ROOT, check=True)
    page = LEADERBOARD / "leaderboard.html"
    page.write_text(
        f"{{% raw %}}{page.read_text(encoding='utf-8')}{{% endraw %}}", encoding="utf-8"
    )
    app.connect("source-read", use_included_pages)
    app.connect("source-read", keep_deviations_with_means)
    app.connect("html-page-context", use_leaderboard)
