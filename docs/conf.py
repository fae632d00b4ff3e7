"""Sphinx: MyST for the pages, Furo for the looks. `make docs` builds, and a warning is an error."""

import sys
from pathlib import Path

import fairway

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import limits_table  # noqa: E402

limits_table.write(HERE / "reference" / "_limits.md")

project = "Fairway"
author = "Fairway contributors"
project_copyright = "2026, Fairway contributors"
version = release = fairway.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "reference/_limits.md"]
nitpicky = True
# The standard library is not linked to; what stands in an annotation is known by its name.
nitpick_ignore_regex = [("py:class", r"collections\.abc\..*")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"Fairway {release}"
html_show_sphinx = False
