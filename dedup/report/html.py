"""The groups as one HTML file that needs nothing else: it opens from disk, in any browser, without a network. Written
group by group, so that ten thousand take no more memory than one; a browser lays out only what is seen."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from dedup.files.paths import printable
from dedup.files.uri import quoted
from dedup.groups.groups import Group
from dedup.groups.matches import ListedTrack, TrackPair
from dedup.report.strip import strip

OPEN_GROUPS = 20
"""Groups, from the top, that are unfolded at first."""

TAGS = ("artist", "title", "album", "date")
"""That are shown below a path, and found by the filter."""


def _undecided(_group: Group, _pair: TrackPair) -> tuple[str, str]:
    return "", ""


@dataclass(frozen=True)
class Telling:
    """How the page puts things: in the words of the table."""

    title: str
    """One line, above all groups."""
    notes: Sequence[str]
    """Lines below it: what the paths are below, the thresholds."""
    columns: Sequence[tuple[str, str]]
    """Keys of `cells`, and headings; of these "path" is the name of a row."""
    cells: Callable[[ListedTrack, TrackPair | None], Mapping[str, str]]
    """Of a track; the pair is None for the reference."""
    heading: Callable[[Group], str]
    beside: Callable[[TrackPair], str]
    """What hangs beside a group, in a line."""
    strip: Callable[[TrackPair], str]
    """What a member's picture shows, in words."""
    decision: Callable[[Group, TrackPair], tuple[str, str]] = _undecided
    """Which keep rule decides against a member, and why in words; empty where none does."""


def page(groups: Iterable[Group], telling: Telling) -> Iterator[str]:
    """The document, in pieces: a head, each group, an end."""
    style, script = (_part(name) for name in ("page.css", "page.js"))
    yield _HEAD.format(
        policy=escape(f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'"),
        title=escape(telling.title),
        style=style,
        notes="".join(f"<p>{escape(note)}</p>\n" for note in telling.notes),
    )
    for number, group in enumerate(groups):
        yield _group(group, telling, is_open=number < OPEN_GROUPS)
    yield f"</main>\n<script>{script}</script>\n</body>\n</html>\n"


def _part(name: str) -> str:
    return resources.files("dedup.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """For the page's policy: nothing runs but what was put here, whatever a name or a tag holds."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{notes}</header>
<form hidden aria-label="Which groups are shown">
<label class="wide">Path or tag holds <input type="search" name="q" autocomplete="off"></label>
<label>Verdict <select name="verdict"><option value="">any</option></select></label>
<label>First <select name="sort"><option value="bytes">most bytes to win</option>
<option value="score">lowest score</option><option value="files">most files</option></select></label>
<button type="button" name="fold">Unfold or fold all</button>
<output aria-live="polite"></output>
</form>
<main>
"""


def _group(group: Group, telling: Telling, is_open: bool) -> str:
    verdicts = "|".join(pair.verdict for pair in group.members)
    name = _named(group.reference) or escape(printable(os.path.basename(group.reference.path)))
    beside = "".join(f"<li>{escape(telling.beside(pair))}</li>" for pair in group.beside)
    headings = "".join(f'<th scope="col">{escape(heading)}</th>' for _, heading in telling.columns)
    rows = [_row(group.reference, None, telling)]
    for pair in group.members:
        rows.append(_row(pair.a, pair, telling, telling.decision(group, pair)))
        rows.append(f'<tr class="strip"><td colspan="{len(telling.columns)}">{_strip(pair, telling)}</td></tr>\n')
    table = f"<table><thead><tr>{headings}</tr></thead>\n<tbody>{''.join(rows)}</tbody></table>"
    return (
        f'<article data-bytes="{group.bytes_reclaimable}" data-score="{group.weakest.match.score:.6f}"'
        f' data-verdicts="{escape(verdicts)}"><details{" open" * is_open}>'
        f"<summary>{escape(telling.heading(group))} <span><bdi>{name}</bdi></span></summary>"
        f'<div class="folds">{table}{f"<ul>{beside}</ul>" if beside else ""}</div></details></article>\n'
    )


def _row(track: ListedTrack, pair: TrackPair | None, telling: Telling, decided: tuple[str, str] = ("", "")) -> str:
    told = telling.cells(track, pair)
    cells = [
        _name_cell(track, told[key], decided) if key == "path" else f"<td>{escape(told[key])}</td>"
        for key, _ in telling.columns
    ]
    return f"<tr>{''.join(cells)}</tr>\n"


def _name_cell(track: ListedTrack, path: str, decided: tuple[str, str]) -> str:
    address = "file://" + quoted(track.path, b"").decode()
    tags, why = _named(track), ": ".join(part for part in decided if part)
    return (
        f'<th scope="row" class="name"><a href="{escape(address)}"><bdi>{escape(path)}</bdi></a>'
        + (f'<div class="tags"><bdi>{tags}</bdi></div>' if tags else "")
        + (f'<div class="why">{escape(why)}</div>' if why else "")
        + "</th>"
    )


def _named(track: ListedTrack) -> str:
    """Some of its tags, escaped; empty where it has none."""
    tags = track.properties.tags
    told = (", ".join(tags[name]) for name in TAGS if name in tags)
    return escape(" \u00b7 ".join(printable(text.encode("utf-8", "surrogateescape")) for text in told))


def _strip(pair: TrackPair, telling: Telling) -> str:
    return strip(pair.match, pair.a.n_items, pair.b.n_items, telling.strip(pair))
