"""What the rows of the catalog may say, table by table: a row can match its digest and still make no sense, if a
program at fault wrote it."""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dedup.errors import UsageError
from dedup.files.paths import printable
from dedup.library.metadata import AudioProperties, from_json, to_json
from dedup.settings import CompareSettings
from dedup.store.audios import Audio
from dedup.store.digests import DIGEST_BYTES
from dedup.store.judgements import CONTENT_BYTES, WAITING
from dedup.store.lookups import SERVICES
from dedup.store.measurements import DEEPEST
from dedup.store.namings import TAKEN_IN
from dedup.store.nulltests import NULLTEST_VERSION, parsed
from dedup.store.pairs import PAIR
from dedup.store.pitches import N_PITCHES
from dedup.store.probes import KeptProbe
from dedup.store.protection import PROTECT, folders_of
from dedup.store.remembered import PLAYLISTS
from dedup.store.tracks import Track
from dedup.upkeep.pairs import are_in_range

PARTIAL_BYTES, FULL_BYTES, STREAM_BYTES = 16, 32, 16

WIDEST_DB = 120.0

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

_DIGEST = re.compile("[0-9a-f]{32}")

_SUBJECT = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What a service was asked about: the digest of a fingerprint, or an identifier of MusicBrainz."""

_COMPARED = re.compile(r"[0-9a-f]{32}|confirmed \d+ (speed|tempo|pitch|both|none) \d\.\d{6}")
"""How two fingerprints of a comparison were compared."""


def compare_settings(recorded: Any, digest: str) -> CompareSettings | None:
    """The settings that `meta` records under `compare <digest>`; None if they do not match the digest."""
    try:
        settings = CompareSettings(**recorded)
    except (TypeError, UsageError):
        return None
    return settings if settings.digest() == digest else None


def problems_of_track(row: tuple[Any, ...]) -> Iterator[str]:
    track = Track(*row)
    name = printable(track.path)
    if track.state != "imported":
        if not _is_normal(track.path) or not _is_normal(track.root):
            yield f"{name} or its root, {printable(track.root)}, is not an absolute path in its plain form"
        if not track.path.startswith(os.path.join(track.root, b"")):
            yield f"{name} is not below its root, {printable(track.root)}"
        if not track.volume.startswith(b"/"):
            yield f"{name} is on {printable(track.volume)}, which is not a mount point"
    elif track.root or track.volume or any((track.size, track.mtime_ns, track.inode, track.device)):
        yield f"{name} is imported, and yet it has what only a file has"
    if track.size < 0:  # inodes and devices are 64 bits, so as SQLite has them some are below 0
        yield f"{name} has a size below 0"
    if not (_has_length(track.partial, PARTIAL_BYTES) and _has_length(track.full, FULL_BYTES)):
        yield f"the hashes of {name} do not have {PARTIAL_BYTES} and {FULL_BYTES} bytes"
    if not _are_properties(track.properties):
        yield f"the properties of {name} are not a valid JSON object"


def problems_of_audio(row: tuple[Any, ...]) -> Iterator[str]:
    audio = Audio(*row)
    if not _has_length(audio.stream, STREAM_BYTES):
        yield f"the hash of its stream does not have {STREAM_BYTES} bytes"
    if audio.cancels not in (None, 0, 1) or not _is_within(audio.width_db, -WIDEST_DB, WIDEST_DB):
        yield "what it says of its channels is out of range"
    if not _is_within(audio.decoded_s, 0, math.inf) or (audio.n_bytes or 0) < 0:
        yield "its length or size is below 0"


def problems_of_probe(row: tuple[Any, ...]) -> Iterator[str]:
    probe = KeptProbe(*row)
    if not _is_normal(probe.path):
        yield f"{printable(probe.path)} is not an absolute path in its plain form"
    if probe.size < 0:
        yield f"{printable(probe.path)} has a size below 0"
    lengths = ((probe.partial, PARTIAL_BYTES), (probe.full, FULL_BYTES), (probe.stream, STREAM_BYTES))
    if not all(_has_length(*each) for each in lengths):
        yield f"the hashes of {printable(probe.path)} do not have the length of hashes"
    if not _are_properties(probe.properties):
        yield f"the properties of {printable(probe.path)} are not a valid JSON object"


def problems_of_judgement(row: tuple[Any, ...]) -> Iterator[str]:
    """Does not verify that `content_a` is not greater than `content_b`: a CHECK of the table does."""
    a, b, same, score, judged = row
    if (len(a), len(b)) != (CONTENT_BYTES, CONTENT_BYTES):
        yield f"its contents have {len(a)} and {len(b)} bytes, not {CONTENT_BYTES} each"
    if a == b and not same:
        yield "says that a content differs from itself"
    if not _is_within(score, -1, 1):
        yield f"its score, {score}, is not from -1 to 1"
    if not _is_time(judged):
        yield f"its time, {judged}, cannot be read"


def problems_of_null_test(row: tuple[Any, ...]) -> Iterator[str]:
    a, b, version, text = row
    if (len(a), len(b)) != (CONTENT_BYTES, CONTENT_BYTES):
        yield f"its contents have {len(a)} and {len(b)} bytes, not {CONTENT_BYTES} each"
    try:
        if version == NULLTEST_VERSION:
            parsed(text)
    except (ValueError, RecursionError, TypeError, KeyError):
        yield "its result cannot be read"


def problems_of_comparison(row: tuple[Any, ...]) -> Iterator[str]:
    """Does not verify that `digest_a` is less than `digest_b`: a CHECK of the table does."""
    digest_a, digest_b, settings, _, pair = row
    if (len(digest_a), len(digest_b)) != (DIGEST_BYTES, DIGEST_BYTES) or not _COMPARED.fullmatch(settings):
        yield "its fingerprints are no digests, or how they were compared is unknown"
    if len(pair) not in (0, PAIR.itemsize):
        yield f"has {len(pair)} bytes, but a pair takes {PAIR.itemsize}"
    elif pair and not are_in_range(np.frombuffer(pair, PAIR)):
        yield "its numbers are out of range"


def problems_of_pitches(row: tuple[Any, ...]) -> Iterator[str]:
    _, _, items = row
    if len(items) % (4 * N_PITCHES):
        yield f"has {len(items)} bytes, but its items take {4 * N_PITCHES} each"


def problems_of_lookup(row: tuple[Any, ...]) -> Iterator[str]:
    subject, service, asked, answer = row
    if service not in SERVICES or not _SUBJECT.fullmatch(subject):
        yield "its service or what it was asked about is unknown"
    if not _is_time(asked):
        yield f"its time, {asked}, cannot be read"
    if not isinstance(_json(answer), dict):
        yield "its answer is not a JSON object"


def problems_of_naming(row: tuple[Any, ...]) -> Iterator[str]:
    subject, answer, said = row
    if not _DIGEST.fullmatch(subject):
        yield "its subject is not a digest"
    if not _is_time(said):
        yield f"its time, {said}, cannot be read"
    if not isinstance(_json(answer), dict):
        yield "its answer is not a JSON object"


def problems_of_measurement(row: tuple[Any, ...]) -> Iterator[str]:
    _, _, used_bits, cutoff_hz, source_rate, _ = row
    if not _is_within(used_bits, 1, DEEPEST):
        yield f"the bits in use, {used_bits}, are not from 1 to {DEEPEST}"
    if not _is_within(cutoff_hz, 1, math.inf) or not _is_within(source_rate, 1, math.inf):
        yield "where its spectrum ends is not above 0"


def problems_of_back_up(row: tuple[Any, ...]) -> Iterator[str]:
    """Does not verify the state: a CHECK of the table does."""
    _, _, path, content, full, _, at = row
    if not _is_normal(path):
        yield f"{printable(path)} is not an absolute path in its plain form"
    if len(content) != CONTENT_BYTES or len(full) not in (0, FULL_BYTES):
        yield f"its content has {len(content)} bytes and its hash {len(full)}, not {CONTENT_BYTES} and {FULL_BYTES}"
    if not _is_time(at):
        yield f"its time, {at}, cannot be read"


def problems_of_run(row: tuple[Any, ...]) -> Iterator[str]:
    _, _, started, ended, outcome, exit_code, why, seconds, summary = row
    if not _is_time(started) or not (ended is None or _is_time(ended)):
        yield "its times cannot be read"
    ending = (outcome, exit_code, why, seconds)
    if any((each is None) != (ended is None) for each in ending) or (ended is None and summary is not None):
        yield "says only in part how it ended"
    if not _is_within(seconds, 0, math.inf) or not 0 <= (exit_code or 0) <= 255:
        yield "its length or exit code is out of range"
    if summary is not None and not isinstance(_json(summary), dict):
        yield "its summary is not a JSON object"


def problems_of_meta(row: tuple[Any, ...]) -> Iterator[str]:
    key, text = row
    kind, _, digest = key.partition(" ")
    known = _FORMS.get(kind)
    if known is None:
        return  # of a later release of this format
    try:
        is_known = known(json.loads(text), digest)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, UsageError):
        is_known = False
    if not is_known:
        yield "its value cannot be read"


def to_name_again(key: str) -> str:
    """What a person has to name again once the row of `meta` with this key is dropped; empty if a run restores it. A
    key that nobody knows may be a damaged one."""
    if key in NAMED:
        return f"{NAMED[key]} again after a repair"
    if key.partition(" ")[0] not in _FORMS:
        return f"if its key is damaged, {' and '.join(NAMED.values())} again after a repair"
    return ""


NAMED = {
    PROTECT: "name the protected folders (--protect)",
    PLAYLISTS: "name the folders of playlists (--playlists)",
}
"""What a person said that `meta` alone knows, by its key."""


def _is_compare(value: Any, digest: str) -> bool:
    return compare_settings(value, digest) is not None if digest else bool(CompareSettings(**value).digest())


_FORMS: dict[str, Callable[[Any, str], bool]] = {
    "format_version": lambda value, _: type(value) is int,
    "block_size": lambda value, _: type(value) is int and value >= 1,
    "fingerprint": lambda value, _: isinstance(value, dict),
    "compare": _is_compare,
    "noise": lambda value, _: bool(
        set(value) == {"name", "common", "decade", "n_pairs", "agreement"}
        and all(math.isfinite(number) for number in (value["common"], value["decade"], *value["agreement"]))
    ),
    "complete": lambda value, _: bool(_DIGEST.fullmatch(value)),
    WAITING: lambda value, _: bool(_DIGEST.fullmatch(value)),
    TAKEN_IN: lambda value, _: bool(_DIGEST.fullmatch(value)),
    "retired": lambda value, _: bool(
        value["runs"] >= 0 and all(type(first) is type(last) is int for first, last in value["fingerprints"])
    ),
    "told": lambda value, _: all(type(value[name]) is int for name in ("track", "audio")),
    "troubles": lambda value, root: (
        _is_normal(bytes.fromhex(root) or b"/") and all(re.fullmatch("[0-9a-f]{16}", each) for each in value)
    ),
    "returning": lambda value, _: all(_is_normal(bytes.fromhex(each)) for each in value),
    PROTECT: lambda value, _: all(map(_is_normal, folders_of(value))),
    PLAYLISTS: lambda value, _: all(map(_is_normal, folders_of(value))),
}
"""Whether a value of `meta` has the form that its key asks for; the second argument is what follows the key's first
word."""


def _is_normal(path: bytes) -> bool:
    """Whether a path is absolute, and has no part that is empty, `.` or `..`."""
    return path.startswith(b"/") and os.path.normpath(path) == path and b"\0" not in path


def _has_length(hashed: bytes | None, n_bytes: int) -> bool:
    return hashed is None or len(hashed) == n_bytes


def _is_within(value: float | None, least: float, most: float) -> bool:
    return value is None or least <= value <= most


def _is_time(text: str) -> bool:
    return _TIME.fullmatch(text) is not None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@functools.lru_cache(maxsize=1024)
def _are_properties(text: str) -> bool:
    try:
        told = json.loads(text)
        return bool(told == {} or _in_json(from_json(told)) == _OLDEST_PROPERTIES | told)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return False


_OLDEST_PROPERTIES = {"version": 1, "streams": [], "extras": []}
"""Values of fields that properties of the oldest version lack."""


def _in_json(properties: AudioProperties) -> Any:
    return json.loads(json.dumps(to_json(properties)))


PROBLEMS: dict[str, Callable[[tuple[Any, ...]], Iterator[str]]] = {
    "meta": problems_of_meta,
    "audio": problems_of_audio,
    "track": problems_of_track,
    "probe": problems_of_probe,
    "judgement": problems_of_judgement,
    "run": problems_of_run,
    "nulltest": problems_of_null_test,
    "comparison": problems_of_comparison,
    "pitches": problems_of_pitches,
    "lookup": problems_of_lookup,
    "naming": problems_of_naming,
    "measurement": problems_of_measurement,
    "backed_up": problems_of_back_up,
}
"""What is wrong with a row that matches its digest, by table, the worst first. Blocks,
fingerprints and tiles are verified by what is on disk and by each other."""
