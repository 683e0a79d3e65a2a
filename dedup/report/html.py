"""The groups as one HTML file that needs nothing else: it opens from disk, in any browser, without a network. It is
written group by group, so that ten thousand take no more memory than one; a browser lays out only what is visible."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from dedup.files.paths import printable
from dedup.files.uri import quoted
from dedup.groups.groups import Group
from dedup.groups.losses import clock
from dedup.groups.matches import ListedTrack, TrackPair
from dedup.report.strip import strip, time_axis

OPEN_GROUPS = 20
"""Groups at the top that are unfolded at first."""

_PIECES = 256
"""Pieces of the template's output that are joined into one: a group has about 50."""

TAGS = ("artist", "title", "album", "date")
"""Tags that are shown below a path and searched by the filter."""


def _undecided(_group: Group, _pair: TrackPair) -> tuple[str, str]:
    return "", ""


@dataclass(frozen=True)
class Telling:
    """The words of the page: those of the table."""

    title: str
    """One line above all groups."""
    notes: Sequence[str]
    """Lines below the title: the folder that all paths share, the thresholds."""
    columns: Sequence[tuple[str, str]]
    """Keys of `cells` with their headings; "path" names the row."""
    cells: Callable[[ListedTrack, TrackPair | None], Mapping[str, str]]
    """Cells of a track; the pair is None for the reference."""
    heading: Callable[[Group], str]
    """Heading of a group."""
    beside: Callable[[TrackPair], str]
    """One line about a track beside a group."""
    strip: Callable[[TrackPair], str]
    """A member's picture in words."""
    decision: Callable[[Group, TrackPair], tuple[str, str]] = _undecided
    """Keep rule that decides against a member, and the reason in words; empty if none does."""


@dataclass(frozen=True)
class _Row:
    """A file of a group, in the form that the template takes."""

    track: ListedTrack
    cells: Mapping[str, str]
    why: str = ""
    picture: str = ""
    """SVG in which every text is escaped; empty for the reference."""


def page(groups: Iterable[Group], telling: Telling) -> Iterator[str]:
    """The document, in pieces: `page.html.j2` filled in, group by group."""
    environment = Environment(
        loader=PackageLoader("dedup.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"address": _address, "digest": _digest, "name": _name, "rows": _rows, "tags": _tags}
    style, script = (_part(name) for name in ("page.css", "page.js"))
    stream = environment.get_template("page.html.j2").stream(
        groups=groups, telling=telling, style=style, script=script, open_groups=OPEN_GROUPS
    )
    stream.enable_buffering(_PIECES)
    yield from stream


def _part(name: str) -> str:
    return resources.files("dedup.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The text's hash for the page's policy: only our own style and script apply, whatever a name or a tag contains."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _rows(group: Group, telling: Telling) -> Iterator[_Row]:
    """The reference, then each member."""
    yield _Row(group.reference, telling.cells(group.reference, None))
    for pair in group.members:
        why = ": ".join(part for part in telling.decision(group, pair) if part)
        sizes = pair.match, pair.a.n_items, pair.b.n_items
        picture = strip(*sizes, telling.strip(pair)) + time_axis(*sizes, clock)
        yield _Row(pair.a, telling.cells(pair.a, pair), why, picture)


def _address(track: ListedTrack) -> str:
    return "file://" + quoted(track.path, b"").decode()


def _name(track: ListedTrack) -> str:
    return printable(os.path.basename(track.path))


def _tags(track: ListedTrack) -> str:
    """The track's tags that are shown; empty if it has none of them."""
    tags = track.properties.tags
    told = (", ".join(tags[name]) for name in TAGS if name in tags)
    return " \u00b7 ".join(printable(text.encode("utf-8", "surrogateescape")) for text in told)
