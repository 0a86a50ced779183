"""How the documentation is built: Markdown by MyST, the reference from the docstrings."""

from __future__ import annotations

project = "pywats-events"
author = "the pywats-events authors"
project_copyright = "the pywats-events authors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project

# Single backticks mean code, as in Markdown and in the docstrings.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# A glob may match nothing while there are no decisions yet.
suppress_warnings = ["toc.empty_glob"]
