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

extensions = ["myst_parser", "numpydoc", "sphinx.ext.mathjax"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["generated/leaderboard"]
default_role = "literal"  # single backticks in docstrings
nitpicky = True
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
# Formulas are rendered by a copy of MathJax in the site, see `math_script`: no page asks the network.
suppress_warnings = ["myst.header"]

html_theme = "pydata_sphinx_theme"
html_title = "bgan-bench"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["generated/leaderboard"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher", "navbar-icon-links"],
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 7,
    "external_links": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "faq": [], "quickstart": []}

# Pages of the repository that are outside of docs/, and the pages of the site that include them.
INCLUDED = {
    "../CONTRIBUTING.md": "contributing.md",
    "../results/published/README.md": "measured.md",
    "../README.md": "index.md",
}


def use_pages_of_the_site(app, name, content) -> None:
    """Replace links to files of the repository by links to the pages that include them."""
    for outside, page in INCLUDED.items():
        content[0] = content[0].replace(f"]({outside}", f"](/{page}")


def setup(app) -> None:
    generate.write()
    # A process of its own: the report sets the number of threads before it imports NumPy.
    command = [sys.executable, "-m", "report", "site", "--output", "docs/generated/leaderboard"]
    subprocess.run(command, cwd=ROOT, check=True)
    app.connect("source-read", use_pages_of_the_site)
