"""How the documentation is built: Markdown by MyST, the reference from the docstrings."""

from __future__ import annotations

from sphinx.application import Sphinx

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

# Each package has its own error of some names (WouldDeadlock); a bare name in "Raises" means the nearest.
suppress_warnings = ["ref.python"]

# Single backticks mean code, as in Markdown and in the docstrings.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def fenced_code(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Turn the fenced code of a docstring, which is written as in Markdown, into what Sphinx reads."""
    inside = False
    turned: list[str] = []
    for line in lines:
        text = line.strip()
        if text.startswith("```"):
            indent = line[: line.index("`")]
            turned += [""] if inside else [f"{indent}.. code-block:: {text[3:] or 'text'}", ""]
            inside = not inside
        else:
            turned.append(f"    {line}" if inside and text else line)
    lines[:] = turned


def tables(_app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Turn the tables of a docstring likewise."""
    turned: list[str] = []
    before = ""
    for line in lines:
        if line.startswith("|"):
            if not before.startswith("|"):
                turned += [".. list-table::", "   :header-rows: 1", ""]
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if set("".join(cells)) != {"-"}:
                turned += [f"   {'* -' if not number else '  -'} {cell}" for number, cell in enumerate(cells)]
        else:
            turned.append(line)
        before = line
    lines[:] = turned


def setup(app: Sphinx) -> None:
    """Look at docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", fenced_code, priority=400)
    app.connect("autodoc-process-docstring", tables, priority=400)
