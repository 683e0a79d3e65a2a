"""The settings as a table of the documentation. `python -m jobs.session.settings_table docs/settings.md` rewrites it
between its two marks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from jobs.session.options import SETTINGS

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def settings_table() -> str:
    """Markdown: one row for each setting, with its default and its help. The settings file chooses a profile by another
    name, `default-profile`, so that has no row."""
    return "\n".join(("| setting | default | meaning |", "|---|---|---|", *_rows()))


def _rows() -> Iterator[str]:
    for name, setting in SETTINGS.items():
        if not setting.hidden and name != "profile":
            unit = " s" if setting.option.metavar == "SECONDS" else ""
            words = f" One of {', '.join(setting.choices)}." if setting.choices else ""
            meaning = f"{setting.option.help}{words}".replace("|", "\\|")
            yield f"| `{name}` | {setting.default_text}{unit} | {meaning} |"


def with_table(text: str) -> str:
    """A document with the table between its marks rewritten. Raises ValueError if it has no marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"there is no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(with_table(document.read_text(encoding="utf-8")), encoding="utf-8")
