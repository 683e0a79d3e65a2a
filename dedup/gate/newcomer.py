"""A file on its way in: read, hashed and fingerprinted as a scan does it, in a process of its own, so that no file can
end the gate."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dedup.errors import InputError
from dedup.files.bounded import MOST_BYTES
from dedup.files.host_paths import HostPath
from dedup.files.paths import printable
from dedup.files.status import device_and_inode, settling_s, size_and_time
from dedup.fingerprint.task import Fingerprinted, fingerprint_file, is_as_seen
from dedup.groups.matches import ListedTrack
from dedup.library.identify import MOST_BYTES_A_SECOND
from dedup.library.identity import full_hash, stream_hash
from dedup.library.look import LOOK_S
from dedup.library.metadata import from_json, to_json
from dedup.library.probe import Probe, hash_file, probe_files, unreadable
from dedup.library.unusable import Unusable
from dedup.store.audios import Audio
from dedup.store.items import Items, items_digest, n_distinct

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.settings import ScanSettings
    from dedup.store.store import Store
    from dedup.store.tracks import Track

NEW = -1
"""Id of an audio or a fingerprint that the store does not have."""

HASH_S = 600.0
"""Most seconds for hashing a file."""


@dataclass(frozen=True)
class Newcomer:
    """A file that can be compared."""

    track: ListedTrack
    """With the id NEW for an audio or a fingerprint that is new."""
    items: Items = field(compare=False)
    """Its fingerprint, `uint32[n]`."""
    pitches: Items | None = field(default=None, compare=False)
    """The same sound at other pitches, `uint32[N_PITCHES, n]`; None if it was not heard so."""
    identical: frozenset[bytes] = frozenset()
    """Paths of the library's files that have the same bytes."""


def kept(newcomer: Newcomer) -> tuple[str, bytes, bytes]:
    """A file as JSON, and its fingerprint, and that at other pitches, as little-endian `uint32`, from which `revived`
    makes it again."""
    track = newcomer.track
    values = track._asdict() | {"properties": to_json(track.properties)}
    shown = {name: {"hex": value.hex()} if isinstance(value, bytes) else value for name, value in values.items()}
    text = json.dumps(shown)
    pitches = b"" if newcomer.pitches is None else np.ascontiguousarray(newcomer.pitches, "<u4").tobytes()
    return text, np.ascontiguousarray(newcomer.items, "<u4").tobytes(), pitches


def revived(text: str, items: bytes, pitches: bytes) -> Newcomer:
    """The file that was kept. Its audio and fingerprint have the id NEW: the store's may be others by now. Raises
    ValueError, TypeError, KeyError for anything else."""
    said = json.loads(text)
    values: dict[str, Any] = {name: _unhexed(value) for name, value in said.items() if name != "properties"}
    values |= {"properties": from_json(said["properties"]), "audio": NEW, "fingerprint": NEW}
    heard, others = np.frombuffer(items, "<u4"), np.frombuffer(pitches, "<u4")
    return Newcomer(ListedTrack(**values), heard, others.reshape(-1, len(heard)) if len(others) else None)


def _unhexed(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def moved(newcomer: Newcomer, path: bytes) -> Newcomer:
    """The file at another place, where an importer may have given it other tags. Raises OSError."""
    status = os.stat(path)
    size, mtime_ns = size_and_time(status)
    device, inode = device_and_inode(status)
    place: dict[str, Any] = {"path": path, "root": os.path.dirname(path), "device": device, "inode": inode}
    return replace(newcomer, track=newcomer.track._replace(size=size, mtime_ns=mtime_ns, full=None, **place))


class Reader:
    """Reads files that are on their way in."""

    def __init__(self, store: Store, standby: Standby, scan: ScanSettings) -> None:
        self.store, self.standby, self.scan = store, standby, scan

    def read(self, path: bytes) -> Newcomer | Unusable:
        """The file at an absolute path, or why it cannot be used. What the library holds already is not decoded. Raises
        StoreDamagedError."""
        try:
            return self._read(path)
        except InputError as error:  # it ended its process, or took too long
            return Unusable("failed", error.found, lasting=True)
        except OSError as error:
            return unreadable(error)

    def _read(self, path: bytes) -> Newcomer | Unusable:
        status = os.stat(path)
        if (why := _no_file(status)) is not None:
            return Unusable("failed", why, lasting=False)
        size, mtime_ns = size_and_time(status)
        time.sleep(settling_s([mtime_ns], time.time_ns()))
        (probe,) = self.standby.call(printable(path), LOOK_S, probe_files, [(HostPath(path), size)], nullcontext())
        if isinstance(probe, Unusable):
            return probe
        full, twins = self._identical(path, size, probe)
        identical = frozenset(twin.path for twin in twins)
        audio = self.store.catalog.audios.get(twins[0].audio) if twins else self._same_audio(path, size, probe)
        if audio is not None:
            if not is_as_seen(path, size, mtime_ns):
                return Unusable("failed", "changed while it was read", lasting=False)
            items = self.store.items_of(audio.fingerprint)
            pitches = self.store.catalog.pitches.get(audio.fingerprint)
            return Newcomer(_track(path, status, probe, full, audio, items), items, pitches, identical)
        return self._decoded(path, status, probe, full)

    def _identical(self, path: bytes, size: int, probe: Probe) -> tuple[bytes | None, list[Track]]:
        """The file's hash if that was needed, and the files of the library that have the same bytes, by path."""
        full: bytes | None = None
        found = []
        for track in self.store.catalog.tracks.twins(size, probe.partial):
            if track.path == path or not is_as_seen(track.path, track.size, track.mtime_ns):
                continue
            full = full or self._hash(full_hash, path)
            with contextlib.suppress(InputError, OSError):  # the library's file cannot be read: it tells nothing
                if full is not None and full == (track.full or self._hash(full_hash, track.path)):
                    found.append(track)
        return full, found

    def _same_audio(self, path: bytes, size: int, probe: Probe) -> Audio | None:
        """The audio of the library that has the same packets."""
        if (
            not probe.key
            or size > MOST_BYTES + MOST_BYTES_A_SECOND * from_json(json.loads(probe.properties)).duration_s
        ):
            return None
        known = self.store.catalog.audios.streams_of_key(probe.key)
        stream = self._hash(stream_hash, path) if known else None
        return self.store.catalog.audios.get(known[stream]) if stream is not None and stream in known else None

    def _hash(self, function: Callable[[bytes], bytes | None], path: bytes) -> bytes | None:
        return self.standby.call(printable(path), HASH_S, hash_file, function, HostPath(path), nullcontext())

    def _decoded(self, path: bytes, status: os.stat_result, probe: Probe, full: bytes | None) -> Newcomer | Unusable:
        settings, limit_s = self.store.fingerprint_settings, self.scan.time_limit_s
        limits = settings, self.scan.min_length_s, limit_s
        name, known = printable(path), size_and_time(status)
        made = self.standby.call(name, LOOK_S + limit_s, fingerprint_file, HostPath(path), *known, *limits)
        if not isinstance(made, Fingerprinted):
            return made
        fingerprint = self.store.catalog.fingerprints.find(made.items)
        decoding = made.decoding
        audio = Audio(
            *(NEW, made.stream, probe.key, made.damage, NEW if fingerprint is None else fingerprint),
            *(decoding.decoded_s, decoding.n_bytes, decoding.cancels, decoding.width_db),
        )
        return Newcomer(_track(path, status, probe, full, audio, made.items), made.items, made.pitches)


def _no_file(status: os.stat_result) -> str | None:
    """Why something is no file that could be read; None if it is one."""
    if stat.S_ISDIR(status.st_mode):
        return "a folder"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return None if status.st_size else "empty"


def _track(
    path: bytes, status: os.stat_result, probe: Probe, full: bytes | None, audio: Audio, items: Items
) -> ListedTrack:
    size, mtime_ns = size_and_time(status)
    cancels = None if audio.cancels is None else int(audio.cancels)
    return ListedTrack(
        *(path, os.path.dirname(path), "present", size, mtime_ns, *device_and_inode(status), full),
        *(audio.id, audio.stream, probe.key, audio.damage, audio.fingerprint),
        *(items_digest(items), len(items), n_distinct(items), from_json(json.loads(probe.properties))),
        *(audio.decoded_s, audio.n_bytes, cancels, audio.width_db),
    )
