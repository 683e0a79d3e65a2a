"""What a person said about which recording a sound is: kept by the fingerprint, so that it holds for every file with
that sound, wherever it goes. It overrides whatever speaks for another recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.clock import utc_now
from dedup.lookup.candidates import Said
from dedup.store.namings import Naming
from dedup.store.store import open_to_say

if TYPE_CHECKING:
    from dedup.lookup.candidates import File, Song
    from dedup.store.store import Store


@dataclass(frozen=True)
class Kept:
    """What became of what a person said: it is kept for good, and counts."""

    subject: str
    """Digest of the fingerprint, in hexadecimal."""
    before: Said | None
    """What was said about it before."""
    now: Said | None
    """What is said about it now."""
    waits: bool
    """Whether it waits for the run that holds the store to take it into the catalog."""


def is_one(song: Song) -> Said:
    """A file is that song."""
    ids = tuple(recording.id for recording in song.recordings)
    return Said(ids, title=song.title, artist=song.artist, sound=song.sound)


def is_none(file: File) -> Said:
    """A file is none of the songs that it may be, as far as is known now."""
    ids = (recording.id for song in file.all_songs for recording in song.recordings)
    before = file.said.refused if file.said is not None else ()
    return Said(refused=tuple(dict.fromkeys((*before, *ids))))


def say(folder: Path, words: Sequence[tuple[str, Said | None]], purpose: str) -> list[Kept]:
    """Keeps what a person says about sounds, by the digests of their fingerprints; None takes back what was said. When
    this returns, no kill loses it and every reader sees it. Holds the lock of the store in `folder` only for that, in
    the name of `purpose`; while another run holds it, what was said waits beside the catalog. Raises WriteError,
    StoreMissingError; StoreLockedError only if a run on another host holds a store on a network file system."""
    with open_to_say(folder, purpose) as store:
        return [Kept(subject, _put(store, subject, said), said, not store.writable) for subject, said in words]


def unsay(folder: Path, kept: Kept, purpose: str) -> bool:
    """Says again what had been said before; False, and nothing is changed, if something else was said since, as on
    another page or terminal. Raises as `say` does."""
    with open_to_say(folder, purpose) as store:
        is_last = _is_same(said_about(store, [kept.subject]).get(kept.subject), kept.now)
        if is_last:
            _put(store, kept.subject, kept.before)
        return is_last


def _is_same(one: Said | None, other: Said | None) -> bool:
    """Whether two answers say the same, whenever that was."""
    if one is None or other is None:
        return one is other
    return (one.recordings, one.refused) == (other.recordings, other.refused)


def _put(store: Store, subject: str, said: Said | None) -> Said | None:
    namings = store.catalog.namings
    naming = Naming(subject, None if said is None else said_to_json(said), utc_now())
    if not store.writable:
        before = said_about(store, [subject]).get(subject)
        namings.leave(naming)
        return before
    namings.take_in()  # what waits was said before this
    with store.catalog.transaction():
        before = said_about(store, [subject]).get(subject)
        namings.take(naming)
    return before


def said_about(store: Store, subjects: Sequence[str]) -> dict[str, Said]:
    """What was said about these sounds, by the digests of their fingerprints. Raises StoreDamagedError."""
    return {subject: said_from_json(each) for subject, each in store.catalog.namings.get_all(subjects).items()}


def said_to_json(said: Said) -> dict[str, Any]:
    if not said.recordings:
        return {"not": list(said.refused)}
    return {"is": list(said.recordings), "title": said.title, "artist": said.artist, "acoustid": said.sound}


def said_from_json(naming: Naming) -> Said:
    """Anything that `said_to_json` did not make counts as missing."""
    kept = naming.answer or {}

    def texts(name: str) -> tuple[str, ...]:
        values = kept.get(name)
        return tuple(str(each) for each in values) if isinstance(values, list) else ()

    title, artist, sound = (str(kept.get(name) or "") for name in ("title", "artist", "acoustid"))
    return Said(texts("is"), texts("not"), title, artist, sound, naming.said)
