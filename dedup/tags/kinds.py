"""A file parsed by mutagen, once: its tags and the facts about its stream come from the same reading."""

from __future__ import annotations

import functools
from typing import Any

from dedup.files.bounded import Bounded, is_too_much
from dedup.files.paths import extension_of

ID3_KINDS = ("MP3", "TrueAudio", "AIFF", "WAVE", "DSF", "DSDIFF", "ID3FileType")
"""mutagen's names of the formats that hold their tags in ID3. Their frames are parsed as they are written, not
translated to another version of ID3: what is written back must be what was there."""

_HEADER_BYTES = 128
"""Bytes that mutagen looks at to tell formats apart."""


def parse(path: bytes, file: Bounded) -> Any:
    """What mutagen makes of a file: its `info` and its `tags`; None if it does not know the format. It goes by name and
    content together; if the name misleads it, by content alone. Raises anything for a damaged file."""
    from mutagen.aac import AAC

    kind = None
    try:
        # mutagen takes anything that begins with an ID3 tag for MP3
        kind = AAC if extension_of(path) == "aac" else _kind_of(path, file)
        return _parsed(kind, file)
    except Exception as error:  # a damaged file, or one with a wrong name, makes the parsers raise anything
        if is_too_much(error):
            raise
        by_content = _kind_of(b"", file)
        if by_content is kind:
            raise
        return _parsed(by_content, file)


def _kind_of(name: bytes, file: Bounded) -> Any:
    """mutagen's class for the format, chosen as `mutagen.File` chooses it, which cannot parse without translating."""
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    if header.startswith(b"ID3") and _is_flac_behind(header, file):
        from mutagen.flac import FLAC

        return FLAC
    kinds = _kinds()
    scores = [(kind.score(name, file, header), kind.__name__) for kind in kinds]
    best = max(range(len(kinds)), key=scores.__getitem__)
    return kinds[best] if scores[best][0] > 0 else None


def _is_flac_behind(header: bytes, file: Bounded) -> bool:
    """Whether a file that begins with an ID3 tag is FLAC, which mutagen takes for MP3 unless its name says so."""
    size = 0
    for digit in header[6:10]:
        size = 128 * size + (digit & 127)
    file.seek(10 + size)
    return file.read(4) == b"fLaC"


def _parsed(kind: Any, file: Bounded) -> Any:
    if kind is None:
        return None
    file.seek(0)
    return kind(file, translate=False) if kind.__name__ in ID3_KINDS else kind(file)


@functools.cache
def _kinds() -> tuple[Any, ...]:
    """All that `mutagen.File` chooses from."""
    from mutagen.aac import AAC
    from mutagen.ac3 import AC3
    from mutagen.aiff import AIFF
    from mutagen.apev2 import APEv2File
    from mutagen.asf import ASF
    from mutagen.dsdiff import DSDIFF
    from mutagen.dsf import DSF
    from mutagen.flac import FLAC
    from mutagen.id3 import ID3FileType
    from mutagen.monkeysaudio import MonkeysAudio
    from mutagen.mp3 import MP3
    from mutagen.mp4 import MP4
    from mutagen.musepack import Musepack
    from mutagen.oggflac import OggFLAC
    from mutagen.oggopus import OggOpus
    from mutagen.oggspeex import OggSpeex
    from mutagen.oggtheora import OggTheora
    from mutagen.oggvorbis import OggVorbis
    from mutagen.optimfrog import OptimFROG
    from mutagen.smf import SMF
    from mutagen.tak import TAK
    from mutagen.trueaudio import TrueAudio
    from mutagen.wave import WAVE
    from mutagen.wavpack import WavPack

    tagged_by_id3 = (MP3, TrueAudio, AIFF, WAVE, DSF, DSDIFF, ID3FileType)
    tagged_by_vorbis = (FLAC, OggFLAC, OggOpus, OggSpeex, OggTheora, OggVorbis)
    tagged_by_ape = (APEv2File, MonkeysAudio, Musepack, OptimFROG, TAK, WavPack)
    return (*tagged_by_id3, *tagged_by_vorbis, *tagged_by_ape, MP4, ASF, AAC, AC3, SMF)
