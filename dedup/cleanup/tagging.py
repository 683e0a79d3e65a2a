"""Tags that say what was measured of a file: written like a merge, with a journal and a way back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.cleanup import records
from dedup.cleanup.checks import Protection, Refusal
from dedup.cleanup.executor import Doing, reason_of, reason_of_tags
from dedup.cleanup.fingerprint_text import acoustid_text
from dedup.cleanup.gain import loudness, replaygain_fields
from dedup.cleanup.journal import JournalWriter
from dedup.cleanup.rewrite import write_copy
from dedup.cleanup.steps import Rewrite
from dedup.files.paths import extension_of, printable
from dedup.files.status import size_and_time
from dedup.groups.judgements import find
from dedup.library.identity import stream_hash
from dedup.tags.names import AUDIO_HASH
from dedup.tags.read import read_tags
from dedup.tags.write import TagsError

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.store import Store


@dataclass(frozen=True)
class Wanted:
    """What is to be measured and written."""

    fingerprint: bool = False
    audio_hash: bool = False
    replaygain: bool = False


@dataclass(frozen=True)
class Tagging:
    """What a file is to say of itself."""

    path: bytes
    fields: dict[str, tuple[str, ...]]
    """Those that are not as they should be, by their common names."""
    before: dict[str, tuple[str, ...]]
    """What these are now; none where there is no such field."""
    size_and_time: tuple[int, int]
    """Of the file when it was measured."""


@dataclass
class Tagged:
    """What came of it."""

    n_files: int = 0
    refused: list[Refusal] = field(default_factory=list)


def measure(store: Store, path: bytes, wanted: Wanted) -> Tagging:
    """What is to be written into a file of the library. Raises InputError for one that the store does not know as it is
    now, TagsError for one that cannot be measured, OSError."""
    known = find(store, path)
    status = size_and_time(os.stat(known.path))
    new: dict[str, tuple[str, ...]] = {}
    if wanted.fingerprint:
        assert store.fingerprint_settings is not None
        items = store.items_of(known.fingerprint)
        new["acoustid_fingerprint"] = (acoustid_text(items, store.fingerprint_settings.algorithm),)
    if wanted.audio_hash:
        stream = stream_hash(known.path)
        if stream is None:
            raise TagsError(printable(known.path), "its audio cannot be read to the end")
        new[AUDIO_HASH] = (stream.hex(),)
    if wanted.replaygain:
        new |= replaygain_fields(loudness(known.path), is_opus=_is_opus(known.path))
    has = read_tags(known.path).fields
    changed = {name: values for name, values in new.items() if has.get(name) != values}
    return Tagging(known.path, changed, {name: has[name] for name in changed if name in has}, status)


def _is_opus(path: bytes) -> bool:
    from dedup.library.metadata import read_properties

    return extension_of(path) in ("opus", "ogg", "oga") and read_properties(path).codec == "opus"


def write_all(
    store: Store,
    taggings: Iterable[Tagging],
    protection: Protection,
    writer: JournalWriter,
    observer: Observer,
    stop: Stop,
) -> Tagged:
    """Writes them, one file after the other, each to a copy that takes the file's place. What befalls one is a refusal.
    Raises WriteError for a full disk."""
    doing, tagged = Doing(writer, None, protection), Tagged()
    for tagging in taggings:
        if stop.requested:
            break
        reason = "it is in a protected folder" if protection.holds(tagging.path) else _write(tagging, doing)
        if reason:
            tagged.refused.append(Refusal(tagging.path, reason))
            observer.problem("failed", tagging.path, reason)
        else:
            records.renew(store, tagging.path)
            tagged.n_files += 1
        observer.advance()
    return tagged


def _write(tagging: Tagging, doing: Doing) -> str:
    """Why it could not be."""
    real = os.path.realpath(tagging.path)
    try:
        if size_and_time(os.stat(real)) != tagging.size_and_time:
            return "it was changed since it was measured"
        doing.do(Rewrite(real, doing.place(), "tags", lambda part: write_copy(real, part, tagging.fields)))
    except TagsError as error:
        return reason_of_tags(error, tagging.path)
    except OSError as error:
        return reason_of(error, tagging.path)
    return ""
