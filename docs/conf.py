"""How Sphinx builds these pages: a site (Furo) and, with the tag `man`, the manual page reprise.1. Needs no network."""

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes

ROOT = Path(__file__).resolve().parent.parent

project = "Reprise"
author = "The authors of Reprise"
copyright = author  # noqa: A001 (Sphinx's name)
release = version = re.findall(r'__version__ = "(.+)"', (ROOT / "dedup/__init__.py").read_text(encoding="utf-8"))[0]

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["pictures"] if tags.has("man") else ["pictures", "man.md"]  # noqa: F821 (Sphinx sets it)

html_theme = "furo"
html_title = f"Reprise {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5a8c", "color-brand-content": "#1f5a8c"},
    "dark_css_variables": {"color-brand-primary": "#8fc1ea", "color-brand-content": "#8fc1ea"},
}

man_pages = [("man", "reprise", "find every recording that a music library holds more than once", [author], 1)]

REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Homepage"]


def link_to_repository(_app: Any, _page: str, source: list[str]) -> None:
    """Links out of docs/, which lead to a file in a checkout, lead to the repository on the site."""
    source[0] = re.sub(r"\]\(\.\./([^)]+)\)", rf"]({REPOSITORY}/blob/main/\1)", source[0])


def define(app: Any, document: nodes.document, _page: str) -> None:
    """The manual page has definitions where the site has tables, for they fit any terminal."""
    if app.builder.name != "man":
        return
    for table in list(document.findall(nodes.table)):
        headings, *rows = (list(row.children) for row in table.findall(nodes.row))
        found = nodes.definition_list()
        for first, *between, last in rows:
            term = nodes.term("", "", *first[0].children)
            for heading, cell in zip(headings[1:], between, strict=False):
                if cell.astext():
                    term += nodes.Text(f" ({heading.astext()}: {cell.astext()})")
            found += nodes.definition_list_item("", term, nodes.definition("", *last.children))
        table.replace_self(found)


def setup(app: Any) -> None:
    app.connect("source-read", link_to_repository)
    app.connect("doctree-resolved", define)
