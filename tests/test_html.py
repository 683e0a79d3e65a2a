"""The HTML page: one file that holds all it needs, harmless whatever a name holds, and alive in a browser."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tracemalloc
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dedup.correlation.correlate import correlate
from dedup.groups.groups import Group, make_groups
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.library.metadata import from_json
from dedup.observer import Silent
from dedup.report.html import Telling, page
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from jobs import cli
from jobs.show.table import COLUMNS
from tests.listening import pass_all
from tests.made_matches import made
from tests.stores import add_track, copied, open_store, recording

NASTY = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'&amp;\u202e.mp3"


def track(path: str, **changes: Any) -> ListedTrack:
    tags = changes.pop("tags", {})
    properties = {"codec": "mp3", "bitrate": 128000, "duration_s": 40.0, "tags": tags}
    fields: dict[str, Any] = dict.fromkeys(ListedTrack._fields) | {
        "path": path.encode("utf-8", "surrogateescape"),
        "state": "present",
        "size": 1000,
        "mtime_ns": 1,
        "device": 1,
        "inode": zlib.crc32(path.encode("utf-8", "surrogateescape")),
        "n_items": 320,
        "properties": from_json(properties),
    }
    return ListedTrack(**(fields | changes))


def pair(member: ListedTrack, reference: ListedTrack, verdict: Any = "same recording", **changes: Any) -> TrackPair:
    changes.setdefault("overlap", 320)
    return TrackPair(member, reference, made(**changes), verdict)


def telling(**changes: Any) -> Telling:
    told: dict[str, Any] = {
        "title": "groups",
        "notes": ["a note"],
        "columns": [("role", ""), ("path", "path")],
        "cells": lambda track, pair: {"role": "" if pair else "best", "path": track.path.decode("utf-8", "replace")},
        "heading": lambda group: f"{len(group.tracks)} files",
        "beside": lambda pair: pair.a.path.decode("utf-8", "replace"),
        "strip": lambda pair: f"lag {pair.match.lag}",
    }
    return Telling(**(told | changes))


class Reader(HTMLParser):
    """Keeps each element with its attributes, the text, and whether all were closed in their order."""

    VOID = ("meta", "input", "br", "rect")

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def group(*names: str, verdict: Any = "same recording", **changes: Any) -> Group:
    reference, *members = (track(name, **changes) for name in names)
    pairs = tuple(pair(member, reference, verdict) for member in members)
    return Group(reference, pairs, bytes_reclaimable=sum(member.size for member in members))


def test_a_page_holds_each_group_and_nothing_from_elsewhere() -> None:
    groups = [group("/m/a.flac", "/m/a.mp3", "/m/b.mp3"), group("/m/c.flac", "/m/c.mp3", verdict="identical file")]
    document = "".join(page(groups, telling()))
    read = Reader(document)
    articles = read.of("article")
    assert [article["data-verdicts"] for article in articles] == ["same recording|same recording", "identical file"]
    assert [article["data-bytes"] for article in articles] == ["2000", "1000"]
    assert len(read.of("svg")) == 6, "a picture and its time axis for each copy"
    for attributes in (attributes for _, attributes in read.elements):
        assert not {"src", "srcset", "style", "onclick", "action"} & attributes.keys()
    assert {link["href"] for link in read.of("a")} == {
        f"file:///m/{name}" for name in ("a.flac", "a.mp3", "b.mp3", "c.flac", "c.mp3")
    }
    assert not re.search(r"https?:|@import|url\(", document)
    assert "a note" in read.text


def test_names_and_tags_are_text_whatever_they_hold() -> None:
    tags = {"artist": [NASTY], "title": ['" onmouseover="x']}
    nasty = group("/m/" + NASTY, "/m/caf\udce9\n.mp3", tags=tags)
    nasty = Group(nasty.reference, nasty.members, (pair(track("/m/</script>"), nasty.reference),))
    words = telling(title=NASTY, notes=[NASTY], heading=lambda _: NASTY, decision=lambda *_: (NASTY, NASTY))
    document = "".join(page([nasty], words))
    read = Reader(document)
    assert len(read.of("script")) == 1
    assert read.of("img") == []
    assert all(not name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert {link["href"] for link in read.of("a")} >= {"file:///m/caf%E9%0A.mp3"}
    assert "\\u202e" in document.split('class="tags"')[1]
    document.encode()


def test_rules_and_what_hangs_beside_are_told() -> None:
    one = group("/m/a.flac", "/m/a.mp3")
    one = Group(one.reference, one.members, (pair(track("/m/part.mp3"), one.reference, "contained"),))
    read = Reader("".join(page([one], telling(decision=lambda *_: ("lossless", "flac, the other mp3")))))
    assert "lossless: flac, the other mp3" in read.text
    assert "/m/part.mp3" in read.text


def test_the_page_is_written_group_by_group() -> None:
    """Ten thousand groups take no more memory than a few."""
    one = group("/m/a.flac", "/m/a.mp3", "/m/b.mp3")

    def peak(n: int) -> int:
        tracemalloc.start()
        size = sum(len(piece) for piece in page((one for _ in range(n)), telling()))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size > 1000 * n
        return highest

    assert peak(300) < 2 * peak(10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """Three groups; in one a nasty name and an excerpt, in one a late start, in one files that are identical."""
    folder = tmp_path / "store"
    with open_store(folder) as opened:
        one, two, three = (recording(seed, 300) for seed in (1, 2, 3))
        add_track(opened, "best.flac", one, size=9000, lossless=True, codec="flac", tags={"artist": ("Söngva",)})
        add_track(opened, NASTY.replace("/", "|"), copied(one[8:], 0.05), size=8000, tags={"title": (NASTY,)})
        add_track(opened, "part.mp3", one[150:260], size=90)
        add_track(opened, "two a.mp3", two, size=5000)
        add_track(opened, "two b.mp3", copied(two, 0.2), size=4000)
        for name in ("three a.mp3", "three b.mp3", "three c.mp3"):
            add_track(opened, name, three, size=100, full=b"3" * 32)
        correlate(opened, CompareSettings(varispeed=False), InlineRunner(), Silent())
        pass_all(opened)
        assert len(make_groups(Matches(opened, MatchSettings()))) == 3
    yield folder


def report(store: Path, *options: str) -> str:
    result = CliRunner().invoke(cli.cli, ["report", "--store", str(store), *options])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes.decode()


def test_reprise_report_writes_the_page(store: Path) -> None:
    document = report(store, "--format", "html")
    read = Reader(document)
    assert [article["data-bytes"] for article in read.of("article")] == ["8000", "4000", "200"]
    assert read.of("img") == []
    assert len(read.of("svg")) == 8
    assert "lossless: flac, the other unknown" in read.text
    assert any("part.mp3 is" in text for text in read.text)
    headings = re.findall(r'<th scope="col">([^<]*)</th>', document)[:13]
    assert headings == [heading for _, heading in COLUMNS]
    first = report(store, "--format", "html", "--limit", "1")
    assert first.count("<article") == 1
    assert "groups 3, with 4 files besides the best copies; 12.2 kB reclaimable (1 shown)" in first


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here, and ./scripts/test.sh may not install it"
)


class Seen:
    """A page as Chromium leaves it when its script has run."""

    def __init__(self, file: Path, fragment: str = "") -> None:
        assert CHROMIUM is not None
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={file.parent / 'profile'}"]
        options += ["--enable-logging=stderr"]
        command = [CHROMIUM, *options, "--dump-dom", file.as_uri() + fragment]
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        self.document = done.stdout.decode()
        self.console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
        self.title = html.unescape(re.findall(r"<title>([^<]*)</title>", self.document)[0])
        articles = re.findall(r"<article([^>]*)>.*?</article>", self.document, re.DOTALL)
        self.shown = [re.findall(r'data-bytes="(\d+)"', one)[0] for one in articles if " hidden" not in one]
        self.count = re.findall(r"<output[^>]*>([^<]*)</output>", self.document)[0]


@needs_chromium
def test_the_page_opens_from_disk_and_filters_and_sorts(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "räport.html"
    file.write_text(report(store, "--format", "html"), encoding="utf-8")
    seen = Seen(file)
    assert seen.title == "Duplicates found by Reprise"
    assert (seen.shown, seen.count) == (["8000", "4000", "200"], "3 of 3 groups, 12.2 kB reclaimable")
    assert "<form hidden" not in seen.document
    assert seen.console == [], "neither an error nor anything that the page's policy refused"
    assert re.findall(r'<option value="([^"]*)">(?:identical|same)', seen.document) == [
        "identical file",
        "same recording",
    ]
    assert (only := Seen(file, "#q=two%20B.MP3")).shown == ["4000"]
    assert only.count.startswith("1 of 3 groups")
    assert Seen(file, "#q=s%C3%B6ngva&verdict=no+such").shown == ["8000"]  # a tag; a verdict that there is not
    assert Seen(file, "#sort=files").shown == ["200", "8000", "4000"]
    assert Seen(file, "#verdict=identical+file&sort=score").shown == ["200"]


@needs_chromium
def test_a_page_that_would_fetch_something_is_refused_it(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    fetching = '<img src="http://127.0.0.1:1/picture.png"><main>'
    file.write_text(report(store, "--format", "html").replace("<main>", fetching), encoding="utf-8")
    assert any("Content Security Policy" in line and "picture.png" in line for line in Seen(file).console)


@needs_chromium
@pytest.mark.long
def test_thousands_of_groups_open(tmp_path: Path) -> None:
    groups = (group(f"/m/{n}.flac", f"/m/{n} b.mp3", f"/m/{n} c.mp3") for n in range(3_000))
    file = tmp_path / "large.html"
    with open(file, "w", encoding="utf-8") as written:
        written.writelines(page(groups, telling()))
    seen = Seen(file, "#q=/m/2999%20b.mp3")
    assert seen.count.startswith("1 of 3,000 groups")
