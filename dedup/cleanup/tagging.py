"""Writes what was measured of a file, or a cover, into its tags, like a merge: with a journal, so that it can be
undone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dedup.cleanup import records
from dedup.cleanup.checks import Protection, Refusal
from dedup.cleanup.executor import Doing, reason_of, reason_of_tags
from dedup.cleanup.gain import loudness, replaygain_fields
from dedup.cleanup.journal import JournalWriter, broken_off_without_plan, make_journal, require_none_open
from dedup.cleanup.originals import ChangedSinceError
from dedup.cleanup.reach import reach_of_journal, reach_of_tracks
from dedup.cleanup.recover import recover
from dedup.cleanup.rewrite import write_copy
from dedup.cleanup.steps import Rewrite
from dedup.clock import utc_now
from dedup.errors import AGAIN, InputError
from dedup.files.held import Reach, Spot
from dedup.files.paths import extension_of, printable
from dedup.files.status import device_and_inode, size_and_time
from dedup.fingerprint.acoustid_text import acoustid_text
from dedup.groups.judgements import find
from dedup.library.identity import stream_hash
from dedup.plan.document import to_bytes
from dedup.plan.nouns import Plan
from dedup.store.protection import protected
from dedup.store.store import open_for_writing
from dedup.tags.names import AUDIO_HASH
from dedup.tags.read import read_tags
from dedup.tags.write import TagsError

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.settings import KeepSettings
    from dedup.store.store import Store
    from dedup.tags.cover import Cover


@dataclass(frozen=True)
class Wanted:
    """Values to measure and write."""

    fingerprint: bool = False
    audio_hash: bool = False
    replaygain: bool = False


@dataclass(frozen=True)
class Tagging:
    """Fields and a cover to write to a file."""

    path: bytes
    fields: dict[str, tuple[str, ...]]
    """Values to be written, by the common names of the fields; only those that the file does not have yet."""
    before: dict[str, tuple[str, ...]]
    """Present values of these fields; without those that the file does not have."""
    size_and_time: tuple[int, int]
    """Size and modification time of the file when it was measured."""
    cover: Cover | None = None
    """Picture that becomes the front cover, in place of the present one; None if that stays."""


@dataclass(frozen=True)
class Tagged:
    """What was written."""

    n_files: int = 0
    """Files that got the fields."""
    refused: tuple[Refusal, ...] = ()
    """Files that did not get them, each with the reason."""
    number: int = 0
    """Number of the clean-up by which they are taken back; 0 if none was made."""


def finish_broken_off(folder: Path, purpose: str) -> None:
    """Brings a `tag_files` on the store in `folder` that was broken off to an end: the catalog gets to know the files
    that it has written. The store is locked for that, in the name of `purpose`. Other clean-ups stay as they are."""
    if broken_off_without_plan(folder) is None:
        return
    with open_for_writing(folder, purpose) as store:
        journal = broken_off_without_plan(folder)
        if journal is None:
            return  # another run was quicker
        with contextlib.closing(JournalWriter(journal)) as writer, reach_of_journal(store, journal) as reach:
            recover(store, writer, reach)
            writer.end(utc_now())


def measure_files(
    *, store: Store, paths: Sequence[bytes], wanted: Wanted, observer: Observer, stop: Stop
) -> list[Tagging]:
    """Measures files of the library, and all at or below folders, until a stop; those that have all the wanted fields
    already are left out. Only reads. Raises as `measure` does for the first that cannot be measured."""
    taggings = []
    files = _files_at(store, paths)
    observer.stage("measure", len(files), "files")
    for path in files:
        if stop.requested:
            break
        tagging = measure(store, path, wanted)
        taggings += [tagging] if tagging.fields else []
        observer.advance()
    return taggings


def tag_files(
    *, store: Store, taggings: Sequence[Tagging], keep: KeepSettings, observer: Observer, stop: Stop
) -> Tagged:
    """Writes what was measured or chosen, with a journal by which it can be taken back: one file after the other, each
    to a copy that takes the file's place. A file that cannot be written is refused with its reason, and the rest goes
    on. Only for the holder of the store's lock.

    Of `keep` only the protected folders count; those that the store remembers are protected too. Raises JournalError if
    a clean-up before it was broken off, WriteError for a full disk."""
    require_none_open(store.layout.folder)
    protection = Protection(protected(store, keep.protect))
    journal = make_journal(store.layout.folder, to_bytes(Plan(())), utc_now())
    observer.stage("write tags", len(taggings), "files")
    reach = reach_of_tracks(store, [tagging.path for tagging in taggings])
    with contextlib.closing(JournalWriter(journal)) as writer, reach:
        tagged = _write_all(store, taggings, Doing(writer, None, protection, reach, AGAIN), protection, observer, stop)
        writer.end(utc_now())
    return replace(tagged, number=int(journal.folder.name))


def measure(store: Store, path: bytes, wanted: Wanted) -> Tagging:
    """Measures one file of the library. Raises InputError if the store does not know it as it is now, TagsError if it
    cannot be measured, OSError."""
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


def _files_at(store: Store, paths: Sequence[bytes]) -> list[bytes]:
    """These files, and for each folder its tracks that are there and have sound, by path; each once."""
    folders = {path for path in paths if os.path.isdir(path)}
    tracks = store.catalog.tracks.all() if folders else ()
    has_sound = {track.path: track.state == "present" and track.audio is not None for track in tracks}
    found: dict[bytes, None] = {}
    for path in paths:
        if path not in folders:
            found[os.path.abspath(path)] = None
            continue
        below = os.path.join(os.path.abspath(path), b"")
        here = [track for track in has_sound if track.startswith(below)]
        if not here:
            remedy = "Scan the folder that holds it"
            raise InputError(printable(path), "no file of the library is there", remedy=remedy)
        found |= {track: None for track in here if has_sound[track]}
    return list(found)


def _is_opus(path: bytes) -> bool:
    from dedup.library.metadata import read_properties

    return extension_of(path) in ("opus", "ogg", "oga") and read_properties(path).codec == "opus"


def _write_all(
    store: Store,
    taggings: Iterable[Tagging],
    doing: Doing,
    protection: Protection,
    observer: Observer,
    stop: Stop,
) -> Tagged:
    n_files = 0
    refused: list[Refusal] = []
    for tagging in taggings:
        if stop.requested:
            break
        is_protected = protection.holds(tagging.path)
        reason = "it is in a protected folder" if is_protected else _write(store, tagging, doing)
        if reason:
            refused.append(Refusal(tagging.path, reason))
            observer.problem("failed", tagging.path, reason)
        else:
            records.renew(store, tagging.path, doing.reach)
            n_files += 1
        observer.advance()
    return Tagged(n_files, tuple(refused))


def _write(store: Store, tagging: Tagging, doing: Doing) -> str:
    """Writes one file, and returns why it was not written; empty if it was."""
    path = _of_link(store, tagging.path, doing.reach) if os.path.islink(tagging.path) else tagging.path

    def build(old: BinaryIO, new: BinaryIO, part: Spot) -> None:
        write_copy(old, path, new, part.path, tagging.fields, tagging.cover)

    try:
        with doing.reach.spot(path) as spot:
            if size_and_time(spot.status()) != tagging.size_and_time:
                return "it was changed since it was measured"
        has = read_tags(path).fields if tagging.fields else {}
        if any(has.get(name) != tagging.before.get(name) for name in tagging.fields):
            return "its tags were changed since it was measured"  # by an editor that keeps the time, and the padding
        doing.do(Rewrite(path, doing.place(), "tags", build))
    except TagsError as error:
        return reason_of_tags(error, tagging.path, AGAIN)
    except ChangedSinceError as error:
        return error.found
    except OSError as error:
        return reason_of(error, tagging.path, AGAIN)
    return ""


def _of_link(store: Store, path: bytes, reach: Reach) -> bytes:
    """Real path of the file that a link leads to, if the scan saw that one; else that of the link, which is refused."""
    real, track = os.path.realpath(path), store.catalog.tracks.get(path)
    if track is None or device_and_inode(os.lstat(real))[1] != track.inode:
        return path
    reach.admit(os.path.dirname(real))
    return real
