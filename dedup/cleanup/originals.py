"""Keeps what a file was before it was rewritten, so that it can be restored byte for byte. When tags change, both
versions begin and end with the same bytes; these are not kept twice."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dedup.cleanup.file_status import Status
from dedup.cleanup.moving import hash_at, part_of, sync_folder
from dedup.errors import JournalError, RepriseError
from dedup.files.held import Spot
from dedup.files.paths import printable
from dedup.library.identity import hash_of
from dedup.store.layout import private_opener
from dedup.store.ledgers import digest_of, opened_line, sealed_line

_PIECE = 1 << 20


class ChangedSinceError(RepriseError):
    """A file is no longer as a clean-up left it."""


@dataclass(frozen=True)
class Original:
    """How to make a file again from what it became: its beginning, the kept middle, its end."""

    prefix: int
    """Bytes that it shares with the beginning of the new file."""
    suffix: int
    """Bytes that it shares with the end of the new file."""
    size: int
    """Bytes of the original."""
    full: str
    """`identity.full_hash` of the original, hex."""
    became: str
    """`identity.full_hash` of the new file, hex."""
    status: Status
    kept: str = ""
    """`ledgers.digest_of` of the kept middle; empty if an older release kept it."""


def keep_original(old: BinaryIO, new: BinaryIO, place: Path) -> None:
    """Keeps what it takes to make an open file again from the new one, as `place`.json and `place`.bin; both are on the
    disk when this returns. Raises OSError."""
    prefix, suffix, size = _common(old, new)
    status = Status.of(old.fileno())
    with open(place.with_suffix(".bin"), "wb", opener=private_opener) as kept:
        old.seek(prefix)
        _copy(old, kept, size - prefix - suffix)
        kept.flush()
        os.fsync(kept.fileno())
    middle = digest_of(place.with_suffix(".bin").read_bytes())
    original = Original(prefix, suffix, size, _hash(old).hex(), _hash(new).hex(), status, middle)
    with open(place.with_suffix(".json"), "wb", opener=private_opener) as told:
        told.write(sealed_line(asdict(original)))
        told.flush()
        os.fsync(told.fileno())
    sync_folder(os.fsencode(place))


def _hash(file: BinaryIO) -> bytes:
    file.seek(0)
    return hash_of(file)


def original_of(place: Path) -> Original | None:
    """What was kept; None if keeping it was broken off: then nothing was rewritten. Raises JournalError if it is
    damaged."""
    path = place.with_suffix(".json")
    try:
        told = _opened(path.read_bytes())
        return Original(**{**told, "status": Status(**told["status"])}) if told else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise JournalError(
            str(path),
            f"what was noted of a file cannot be read ({error})",
            remedy=f"Its old tags or entries are kept in {place.with_suffix('.bin')}",
        ) from error


def _opened(data: bytes) -> dict[str, Any] | None:
    """What was noted of a file; None if it was broken off. Raises ValueError if it is damaged."""
    if data.endswith(b"\n"):
        return opened_line(data).record
    try:
        told = json.loads(data)  # of an older release, without a newline
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def has_become(spot: Spot, original: Original) -> bool:
    """Whether the file there holds the new content."""
    return hash_at(spot).hex() == original.became


def put_original_back(spot: Spot, place: Path, original: Original) -> None:
    """Makes the file there what it was: bytes, times, mode, attributes. Calling again changes nothing more. Raises
    ChangedSinceError if the file is neither what it was nor what it became, OSError."""
    with spot.open() as new:
        now = hash_of(new).hex()
        if now == original.full:
            original.status.give(new.fileno())
            return
        if now != original.became:
            kept = place.with_suffix(".bin")
            found = f"Its old tags or entries are kept in {kept}"
            raise ChangedSinceError(printable(spot.path), "was changed since", "", found)
        part = part_of(spot)
        try:
            _rebuild(new, spot, place, original, part)
            part.replace(spot)
        except BaseException:
            part.discard()
            raise
    spot.sync()


def _rebuild(new: BinaryIO, spot: Spot, place: Path, original: Original, part: Spot) -> None:
    with part.create() as file:
        new.seek(0)
        _copy(new, file, original.prefix)
        with open(place.with_suffix(".bin"), "rb") as kept:
            _copy(kept, file, original.size)
        new.seek(-original.suffix, os.SEEK_END)
        _copy(new, file, original.suffix)
        file.flush()
        os.fsync(file.fileno())
        if _hash(file).hex() != original.full:
            raise ChangedSinceError(
                str(place), "what was kept of a file is damaged", "", f"{printable(spot.path)} stays as it is"
            )
        original.status.give(file.fileno())


def _copy(source: BinaryIO, target: BinaryIO, n_bytes: int) -> None:
    """Copies `n_bytes` bytes, or all that are left."""
    while n_bytes > 0 and (piece := source.read(min(_PIECE, n_bytes))):
        target.write(piece)
        n_bytes -= len(piece)


def _common(a: BinaryIO, b: BinaryIO) -> tuple[int, int, int]:
    """Bytes that both files begin with, bytes that both end with after these, and the size of the first file."""
    size, other = a.seek(0, os.SEEK_END), b.seek(0, os.SEEK_END)
    a.seek(0)
    b.seek(0)
    prefix = 0
    while n_same := _same_from(a.read(_PIECE), b.read(_PIECE)):
        prefix += n_same
        if n_same < _PIECE:
            break
    room = min(size, other) - prefix
    suffix = 0
    while suffix < room:
        n_bytes = min(_PIECE, room - suffix)
        a.seek(size - suffix - n_bytes)
        b.seek(other - suffix - n_bytes)
        n_same = _same_from(a.read(n_bytes)[::-1], b.read(n_bytes)[::-1])
        suffix += n_same
        if n_same < n_bytes:
            break
    return prefix, suffix, size


def _same_from(a: bytes, b: bytes) -> int:
    """Number of bytes that both begin with."""
    import numpy as np

    n_bytes = min(len(a), len(b))
    differ = np.frombuffer(a, np.uint8, n_bytes) != np.frombuffer(b, np.uint8, n_bytes)
    return int(differ.argmax()) if differ.any() else n_bytes
