"""What files are, for people and for programs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dedup.files.paths import json_path
from dedup.lookup.candidates import unit_of
from jobs.session.lines import Look, padded, width_of
from jobs.session.output import count_text, one_line, path_text

if TYPE_CHECKING:
    from dedup.lookup.candidates import Song
    from dedup.lookup.decide import Identified
    from dedup.lookup.identify import Result
    from dedup.lookup.nouns import Release

_MARKS = {"identified": "=", "question": "?", "unknown": "-", "unasked": "…"}


def identified_record(each: Identified) -> dict[str, Any]:
    """One file as a JSON object; numbers are scores of 0 to 1 and seconds."""
    record: dict[str, Any] = {**json_path(each.file.path), "verdict": each.verdict, "why": each.why}
    record["length_s"] = round(each.file.length_s, 3)
    if each.song is not None and each.recording is not None:
        record["recording"] = {"id": each.recording.id, "title": each.recording.title, "artist": each.recording.artist}
        record |= {"acoustid": each.song.sound, "score": round(each.song.score, 4)}
    if each.release is not None and each.track is not None:
        release, track = each.release, each.track
        record["release"] = {
            "id": release.id,
            "group": release.group,
            "title": release.title,
            "artist": release.artist,
            "artist_ids": release.artist_ids,
            "date": release.date,
            "country": release.country,
            "kinds": release.kinds,
            "discs": release.n_discs,
            "tracks": release.n_tracks,
        }
        record["track"] = {
            "id": track.id,
            "disc": track.disc,
            "number": track.number,
            "title": track.title,
            "artist": track.artist,
            "artist_ids": track.artist_ids,
        }
    if each.verdict == "question":
        record["candidates"] = [_song_record(song) for song in each.candidates]
    return record


def _song_record(song: Song) -> dict[str, Any]:
    return {
        "title": song.title,
        "artist": song.artist,
        "recordings": [recording.id for recording in song.recordings],
        "acoustid": song.sound,
        "score": round(song.score, 4),
        "strength": round(song.strength, 4),
        "sources": song.sources,
    }


def identified_lines(files: Sequence[Identified], look: Look) -> Iterator[str]:
    """Lines for people: each folder with its files; `=` is identified, `?` a question, `-` unknown, `…` not asked."""
    for unit, of_unit in itertools.groupby(files, key=lambda each: unit_of(each.file.path)):
        yield from look.wrapped(look.styled(path_text(unit), "bold"))
        told = None
        for each in of_unit:
            if each.release is not None and each.release != told:
                told = each.release
                yield from look.wrapped(f"  {one_line(release_text(told))}", hanging=4)
            yield from _file_lines(each, unit, look)


def release_text(release: Release) -> str:
    """A release in a line: title, artist, year, country and kinds."""
    parts = (release.date[:4], release.country, " ".join(release.kinds))
    told = ", ".join(filter(None, parts))
    return f"{release.title} · {release.artist}" + (f" ({told})" if told else "")


def _file_lines(each: Identified, unit: bytes, look: Look) -> Iterator[str]:
    name = path_text(each.file.path.removeprefix(unit).lstrip(b"/"))
    mark = _MARKS[each.verdict]
    if each.verdict == "identified":
        yield from _in_two(f"  {mark} {name}", _song_text(each), look)
        return
    yield from look.wrapped(f"  {mark} {name}: {each.why}", hanging=6)
    for song in each.candidates if each.verdict == "question" else ():
        sources = f", named by {song.sources:,}" if song.sources else ""
        told = f"{song.title} · {song.artist} ({song.score:.2f}{sources})"
        yield from look.wrapped(f"      {one_line(told)}", hanging=8)


def _in_two(left: str, right: str, look: Look) -> Iterator[str]:
    """Two texts beside each other, or one below the other if they need more room."""
    half = look.width // 2 - 2
    if look.wraps and width_of(left) <= half and width_of(right) <= look.width - half - 2:
        yield f"{padded(left, half)}  {right}"
    elif look.wraps:
        yield from look.wrapped(left, hanging=6)
        yield from look.wrapped(f"      {right}", hanging=8)
    else:
        yield f"{left}  {right}"


def _song_text(each: Identified) -> str:
    song = each.song
    assert song is not None
    title = each.track.title if each.track else song.title
    number = number_text(each)
    artist = each.track.artist if each.track else song.artist
    by = "" if each.release is not None and artist == each.release.artist else f" · {artist}"
    return one_line(f"{number}{title}{by} ({song.score:.2f})")


def number_text(each: Identified) -> str:
    """The number of the track that a file is, with a space behind it: "2-07 "; empty if that is not known."""
    if each.track is None:
        return ""
    disc = f"{each.track.disc}-" if each.release is not None and each.release.n_discs > 1 else ""
    return f"{disc}{each.track.number:02} "


def summary_record(result: Result) -> dict[str, Any]:
    """Counts of files by verdict, and of recordings asked about."""
    counts = result.counts
    return {
        "files": counts.total(),
        **{verdict: counts[verdict] for verdict in ("identified", "question", "unknown", "unasked")},
        "too_little_sound": result.n_silent,
        "asked": result.n_asked,
        "left": result.n_left,
    }


def summary_text(result: Result) -> str:
    """The last line for people."""
    counts = result.counts
    parts = [f"{counts['identified']:,} of {count_text(counts.total(), 'file')} identified"]
    parts += _some(
        (counts["question"], "with a question"),
        (counts["unknown"], "unknown"),
        (counts["unasked"], "not asked yet"),
        (result.n_silent, "with too little sound"),
    )
    return f"{', '.join(parts)}; asked about {count_text(result.n_asked, 'recording')}. No tag was written"


def _some(*counts: tuple[int, str]) -> Iterable[str]:
    return (f"{n:,} {text}" for n, text in counts if n)
