"""Adds to a file's tags what it lacks: what the source says of it, loudness, the hash of its audio and its fingerprint.
Nothing that is there changes, and the audio stays, packet for packet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dedup.backup.place import Work
from dedup.backup.source import Filling, whole_text
from dedup.cleanup.gain import loudness, replaygain_fields
from dedup.cleanup.rewrite import write_copy
from dedup.errors import InputError, is_refusal, refused
from dedup.files.paths import printable
from dedup.fingerprint.acoustid_text import acoustid_text
from dedup.library.look import LOOK_S
from dedup.tags.names import AUDIO_HASH, is_name
from dedup.tags.read import Tags
from dedup.tags.write import TagsError

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.gate.gate import Gate
    from dedup.gate.newcomer import Newcomer

_GAINS = ("replaygain_track_gain", "r128_track_gain")


def complete(
    work: Work, ending: bytes, tags: Tags, filling: Filling, newcomer: Newcomer, gate: Gate, standby: Standby
) -> tuple[Mapping[str, Sequence[str]], str]:
    """Completes the file, which has these tags; gives all its fields, and why it was left as it was, empty if it was
    not. Raises WriteError if the disk refuses, OSError."""
    path = work.path(ending)
    said = {name: (whole_text(value),) for name, value in filling.fields.items() if value and is_name(name)}
    wanted = said | _measured(path, tags, newcomer, gate, standby)
    lacking = {name: values for name, values in wanted.items() if name not in tags.fields}
    cover = None if tags.covers else filling.cover
    has = {**lacking, **tags.fields}
    if not lacking and cover is None:
        return has, ""
    try:
        with work.spot(ending) as spot, work.spot(b".new" + ending) as made:
            made.discard()
            with spot.open() as old, made.create() as new:
                write_copy(old, path, new, made.path, lacking, cover)
            made.replace(spot)
    except TagsError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and is_refusal(cause):
            raise refused(printable(work.place.folder), cause) from cause
        return has, f"its tags stay as they are: {error.found}"
    return has, ""


def _measured(path: bytes, tags: Tags, newcomer: Newcomer, gate: Gate, standby: Standby) -> dict[str, tuple[str, ...]]:
    track, found = newcomer.track, dict[str, tuple[str, ...]]()
    settings = gate.store.fingerprint_settings
    if settings is not None:
        found["acoustid_fingerprint"] = (acoustid_text(newcomer.items, settings.algorithm),)
    if track.stream is not None:
        found[AUDIO_HASH] = (track.stream.hex(),)
    if not any(name in tags.fields for name in _GAINS):
        try:
            limit_s = LOOK_S + gate.scan.time_limit_s
            measured = standby.call(printable(path), limit_s, loudness, path)
        except (TagsError, InputError):  # it is kept without
            return found
        found |= replaygain_fields(measured, is_opus=track.properties.codec == "opus")
    return found
