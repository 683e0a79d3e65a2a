"""What scripts/pictures.py makes of real runs, and how it holds the samples of the pages against them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts import pictures

DEMO = """Paths are below ~/demo/library/

{groups}

failed: a.mp3: not an audio file
files   32 discovered
time    discover 0.0 s
truth   30 of 30 planted pairs found, 0 false
"""


def demo(n_groups: int) -> str:
    return DEMO.format(groups="\n\n".join(f"{n} MB reclaimable, 2 files\nbest  flac" for n in range(n_groups)))


def test_the_terminal_shows_the_first_groups_and_what_sums_up() -> None:
    shown = pictures.shortened(demo(5))
    assert shown.count("reclaimable") == pictures.GROUPS_SHOWN
    assert "… 2 more groups …" in shown
    assert "failed" not in shown
    assert "time " not in shown
    assert shown.endswith("truth   30 of 30 planted pairs found, 0 false")


@pytest.mark.parametrize(
    "drawn", [pictures.terminal("reprise demo", demo(2)), pictures.flow()], ids=["terminal", "flow"]
)
def test_a_drawing_is_xml_that_loads_nothing(drawn: str) -> None:
    assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    assert "url(http" not in drawn
    assert "@font-face" not in drawn


def test_a_line_of_a_sample_that_no_run_prints_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["$ reprise plan", "Paths are below /x/", "keep  a.flac", "…", "plan  written: plan.json; do it"]
    page = "\n".join(["```", *lines, "```", "```", "no run", "```", ""])
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    monkeypatch.setattr(pictures, "SAMPLES", ("page.md",))
    outputs = "keep     a.flac\nplan    replaced: /tmp/x/plan.json; do it\n"
    assert list(pictures.changed_lines(outputs)) == []
    assert list(pictures.changed_lines(outputs.replace("keep", "leave"))) == [("page.md", "keep a.flac")]


def test_the_pages_have_samples() -> None:
    for page in pictures.SAMPLES:
        assert re.search(r"^```\n\$ ", (pictures.ROOT / page).read_text(encoding="utf-8"), re.M), page
