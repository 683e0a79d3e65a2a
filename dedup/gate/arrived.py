"""Enters files that were imported as tracks, with the fingerprints that the gate has made of them, so that a scan finds
them unchanged and decodes nothing."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dedup.errors import InputError, RepriseError, StoreLockedError
from dedup.files.host_paths import HostPath
from dedup.files.paths import holds, printable
from dedup.files.status import settling_s
from dedup.fingerprint.task import is_as_seen
from dedup.library.discover import Candidate, candidate_at
from dedup.library.identify import Subject
from dedup.library.identity import stream_hash
from dedup.library.look import LOOK_S
from dedup.library.probe import Probe, hash_file, probe_files
from dedup.library.unusable import Unusable
from dedup.scan.scan import track_of
from dedup.store.decoding import Decoding
from dedup.store.layout import is_locked
from dedup.store.store import open_for_writing

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.gate.newcomer import Newcomer
    from dedup.settings import DiscoverSettings
    from dedup.store.store import Store

log = logging.getLogger("reprise")

PURPOSE = "reprise gate serve"

MOST_AT_ONCE = 8
"""Files that are entered at a time: each is read once more, and questions wait meanwhile."""

AGAIN_S = 60.0
"""Seconds after which it is tried again when the disk refused."""


class Arrived(NamedTuple):
    """A file that is in the library now, and that nobody has scanned yet."""

    newcomer: Newcomer
    candidate: Candidate
    probe: Probe


def arrived(newcomer: Newcomer, roots: Sequence[bytes], settings: DiscoverSettings, standby: Standby) -> Arrived | None:
    """The file as a scan would find it; None if no scan of these roots would, or if its sound is not known to be that
    of the fingerprint: an importer may have written tags, and nothing else."""
    track = newcomer.track
    root = max((root for root in roots if holds(root, track.path)), key=len, default=None)
    candidate = None if root is None else candidate_at(track.path, root, settings)
    if candidate is None:
        return None
    time.sleep(settling_s([candidate.mtime_ns], time.time_ns()))
    name, there = printable(track.path), HostPath(track.path)
    try:
        (probe,) = standby.call(name, LOOK_S, probe_files, [(there, candidate.size)], nullcontext())
        if isinstance(probe, Unusable) or probe.key != track.key:
            return None
        stream = standby.call(name, LOOK_S, hash_file, stream_hash, there, nullcontext())
    except (InputError, OSError):  # the next scan says what is wrong with it
        return None
    is_same = stream is not None and stream == track.stream
    return Arrived(newcomer, candidate, probe) if is_same and _is_still(candidate) else None


def enter_all(folder: Path, files: Sequence[Arrived]) -> None:
    """Enters them in the store in `folder`, all or none, which is locked for that alone: others wait for it. Raises
    StoreLockedError if another run holds it; WriteError, StoreDamagedError."""
    with open_for_writing(folder, PURPOSE, is_short=True) as store, store.catalog.transaction():
        for each in files:
            enter(store, each)


def enter(store: Store, file: Arrived) -> None:
    """Enters one, unless it has changed since; in a transaction of whoever holds the store's lock."""
    if _is_still(file.candidate):
        audio = _audio(store, file.newcomer)
        store.catalog.tracks.put(track_of(file.candidate, Subject(file.candidate, file.probe), audio=audio))


def _audio(store: Store, newcomer: Newcomer) -> int:
    """The id of the audio, which is entered unless the store has it."""
    catalog, track = store.catalog, newcomer.track
    known = catalog.audios.streams_of_key(track.key).get(track.stream or b"") if track.key else None
    if known is not None:
        return known
    fingerprint = catalog.fingerprints.add(newcomer.items)
    if newcomer.pitches is not None:
        store.keep_pitches([(fingerprint, newcomer.pitches)])
    cancels = None if track.cancels is None else bool(track.cancels)
    decoding = Decoding(track.decoded_s, track.n_bytes, cancels, track.width_db)
    return catalog.audios.add(fingerprint, track.stream, track.key, track.damage, decoding)


def _is_still(candidate: Candidate) -> bool:
    return is_as_seen(candidate.path, candidate.size, candidate.mtime_ns)


class Entering:
    """Enters what was imported whenever the store is free."""

    def __init__(self, folder: Path, settings: DiscoverSettings) -> None:
        self._folder, self._settings = folder, settings
        self._tried: dict[int, bytes] = {}
        """Path of each file that is entered, or that only a scan can enter, by its question."""
        self._not_before = 0.0

    def enter(self, files: Mapping[int, Newcomer], store: Store, standby: Standby) -> None:
        """Enters those of the files, by question, that were not tried before at their present path, at most
        `MOST_AT_ONCE`; the rest, and all while another run holds the store, the next time."""
        self._tried = {id_: path for id_, path in self._tried.items() if id_ in files}
        left = {id_: each for id_, each in files.items() if self._tried.get(id_) != each.track.path}
        if not left or time.monotonic() < self._not_before or is_locked(store.layout):
            return
        roots = [root for root in store.catalog.tracks.roots() if root]
        some = dict(itertools.islice(left.items(), MOST_AT_ONCE))
        found = [arrived(each, roots, self._settings, standby) for each in some.values()]
        try:
            if there := [each for each in found if each is not None]:
                enter_all(self._folder, there)
                log.info("gate: entered %d files as tracks", len(there))
        except StoreLockedError:
            return
        except RepriseError as error:
            log.warning("gate: what was imported cannot be entered now: %s", error)
            self._not_before = time.monotonic() + AGAIN_S
            return
        except Exception:  # a scan will enter them, and questions go on meanwhile
            log.exception("gate: what was imported cannot be entered")
        self._tried |= {id_: each.track.path for id_, each in some.items()}
