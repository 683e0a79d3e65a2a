"""Containers that are made to hurt whoever opens them: atoms, chunks and tracks without end, bombs, sizes that lie."""

# ruff: noqa: ARG001 -- attacks are functions of one signature

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from scripts.torture.attacks_tags import MIB, attack, id3_header, noise, put, syncsafe

# ---- MP4


def atom(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def with_moov(mp4: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The file with something done to the content of its "moov", which must be its last atom."""
    at = 0
    while mp4[at + 4 : at + 8] != b"moov":
        at += int.from_bytes(mp4[at : at + 4], "big")
    size = int.from_bytes(mp4[at : at + 4], "big")
    return mp4[:at] + atom(b"moov", change(mp4[at + 8 : at + size])) + mp4[at + size :]


@attack("MP4 covers of 200 MB, and one that claims 4 GB")
def mp4_cover(folder: Path, song: dict[str, bytes], scale: float) -> None:
    picture = b"".join(noise(int(200e6 * scale)))

    def tags(data: bytes) -> bytes:
        handler = atom(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
        return atom(b"udta", atom(b"meta", bytes(4), handler, atom(b"ilst", atom(b"covr", data))))

    whole = atom(b"data", struct.pack(">2I", 13, 0), picture)
    (folder / "x.m4a").write_bytes(with_moov(song["m4a"], lambda moov: moov + tags(whole)))
    lying = struct.pack(">I", 0xFFFFFFF0) + b"data" + struct.pack(">2I", 13, 0) + b"aaaa"
    (folder / "y.m4a").write_bytes(with_moov(song["m4a"], lambda moov: moov + tags(lying)))
    long = struct.pack(">I4sQ", 1, b"data", 1 << 62) + bytes(8)
    (folder / "z.m4a").write_bytes(with_moov(song["m4a"], lambda moov: moov + tags(long)))


@attack("MP4 atoms 100,000 deep")
def mp4_deep(folder: Path, song: dict[str, bytes], scale: float) -> None:
    n = int(100_000 * scale)
    for name in (b"udta", b"trak", b"moof"):
        deep = b"".join(struct.pack(">I", 8 * (n - k)) + name for k in range(n))
        (folder / f"{name.decode()}.m4a").write_bytes(with_moov(song["m4a"], lambda moov, deep=deep: moov + deep))


@attack("an MP4 of 100,000 tracks")
def mp4_tracks(folder: Path, song: dict[str, bytes], scale: float) -> None:
    def tracks(moov: bytes) -> bytes:
        at = moov.index(b"trak") - 4
        track = moov[at : at + int.from_bytes(moov[at : at + 4], "big")]
        return moov + track * int(100_000 * scale)

    (folder / "x.m4a").write_bytes(with_moov(song["m4a"], tracks))
    empty = atom(b"trak", atom(b"mdia", b""))
    (folder / "y.m4a").write_bytes(with_moov(song["m4a"], lambda moov: moov + empty * int(1e6 * scale)))


# ---- Matroska


def ebml(identity: int, *content: bytes) -> bytes:
    body = b"".join(content)
    name = identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    return name + (1 << 56 | len(body)).to_bytes(8, "big") + body


def number(identity: int, value: int) -> bytes:
    return ebml(identity, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


EBML_HEAD = ebml(0x1A45DFA3, ebml(0x4282, b"matroska"))


def track(index: int, *more: bytes) -> bytes:
    kind = (number(0xD7, index), number(0x73C5, index), number(0x83, 2), ebml(0x86, b"A_PCM/INT/LIT"))
    audio = ebml(0xE1, ebml(0xB5, struct.pack(">d", 8000.0)), number(0x9F, 1), number(0x6264, 16))
    return ebml(0xAE, *kind, audio, *more)


def matroska(tracks: bytes, *more: bytes) -> bytes:
    blocks = b"".join(
        ebml(0xA3, b"\x81" + struct.pack(">HB", k, 0x80) + random.Random(k).randbytes(1600)) for k in range(100)
    )
    return EBML_HEAD + ebml(
        0x18538067,
        ebml(0x1549A966, number(0x2AD7B1, 100_000_000)),
        ebml(0x1654AE6B, tracks),
        *more,
        ebml(0x1F43B675, number(0xE7, 0), blocks),
    )


@attack("a Matroska file of a million tracks")
def mkv_tracks(folder: Path, song: dict[str, bytes], scale: float) -> None:
    (folder / "x.mka").write_bytes(matroska(b"".join(track(k) for k in range(1, int(1e6 * scale)))))
    (folder / "y.mka").write_bytes(matroska(b"".join(track(k) for k in range(1, 900))))


@attack("a Matroska file of compressed bombs")
def mkv_bombs(folder: Path, song: dict[str, bytes], scale: float) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(int(2000 * scale))) + packer.flush()
    packed = ebml(
        0x6D80, ebml(0x6240, number(0x5031, 0), number(0x5032, 3), number(0x5033, 0), ebml(0x5034, number(0x4254, 0)))
    )
    head = ebml(0x63A2, bomb)
    (folder / "x.mka").write_bytes(matroska(track(1, head, packed)))
    blocks = b"".join(ebml(0xA3, b"\x81" + struct.pack(">HB", k, 0x80) + bomb) for k in range(20))
    (folder / "y.mka").write_bytes(matroska(track(1, packed), ebml(0x1F43B675, number(0xE7, 0), blocks)))


@attack("Matroska attachments of 400 MB, tags of 200 MB and a million chapters")
def mkv_attached(folder: Path, song: dict[str, bytes], scale: float) -> None:
    picture = b"".join(noise(int(200e6 * scale)))
    files = b"".join(
        ebml(0x61A7, ebml(0x466E, b"cover.jpg"), ebml(0x4660, b"image/jpeg"), number(0x46AE, k), ebml(0x465C, picture))
        for k in (1, 2)
    )
    (folder / "x.mka").write_bytes(matroska(track(1), ebml(0x1941A469, files)))
    tag = ebml(0x7373, ebml(0x63C0), ebml(0x67C8, ebml(0x45A3, b"COMMENT"), ebml(0x4487, b"a" * int(200e6 * scale))))
    (folder / "y.mka").write_bytes(matroska(track(1), ebml(0x1254C367, tag)))
    chapters = b"".join(
        ebml(0xB6, number(0x73C4, k), number(0x91, k * 1000), ebml(0x80, ebml(0x85, b"a")))
        for k in range(1, int(1e6 * scale))
    )
    (folder / "z.mka").write_bytes(matroska(track(1), ebml(0x1043A770, ebml(0x45B9, chapters))))


# ---- RIFF and AIFF


def wav_head(data_size: int, riff_size: int = 0xFFFFFFFF, more: bytes = b"") -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, 44100, 88200, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", riff_size)
        + b"WAVE"
        + b"fmt "
        + struct.pack("<I", 16)
        + form
        + more
        + b"data"
        + struct.pack("<I", data_size)
    )


@attack("WAV and AIFF with sizes that lie, chunks in each other and a million chunks")
def riff(folder: Path, song: dict[str, bytes], scale: float) -> None:
    sound = random.Random(3).randbytes(88200 * 12)
    for name, size in (("zero", 0), ("most", 0xFFFFFFFF), ("odd", 0xFFFFFFFE)):
        put(folder / f"data {name}.wav", wav_head(size), sound)
        put(folder / f"riff {name}.wav", wav_head(len(sound), size), sound)
        put(folder / f"chunk {name}.wav", wav_head(len(sound), more=b"LIST" + struct.pack("<I", size) + b"INFO"), sound)
        common = b"COMM" + struct.pack(">IhIh", 18, 1, len(sound) // 2, 16) + b"\x40\x0e\xac\x44" + bytes(6)
        put(
            folder / f"{name}.aiff",
            b"FORM" + struct.pack(">I", size) + b"AIFF" + common + b"SSND" + struct.pack(">III", size, 0, 0),
            sound,
        )
        put(
            folder / f"id3 {name}.wav",
            wav_head(len(sound)),
            sound,
            b"id3 " + struct.pack("<I", size) + id3_header(1 << 20),
        )
    nested = b"".join(b"LIST" + struct.pack("<I", 0x7FFFFFFF) + b"INFO" for _ in range(int(100_000 * scale)))
    put(folder / "nested.wav", wav_head(len(sound), more=nested), sound)
    put(folder / "many.wav", wav_head(len(sound)), sound, b"junk\x00\x00\x00\x00" * int(1e6 * scale))
    put(
        folder / "info.wav",
        wav_head(len(sound)),
        sound,
        b"LIST" + struct.pack("<I", int(200e6 * scale)) + b"INFO",
        b"INAM" + struct.pack("<I", int(199e6 * scale)),
        noise(int(199e6 * scale)),
    )
    put(
        folder / "big id3.wav",
        wav_head(len(sound)),
        sound,
        b"id3 "
        + struct.pack("<I", int(200e6 * scale))
        + id3_header(int(200e6 * scale))
        + b"PRIV"
        + syncsafe(int(199e6 * scale))
        + bytes(2),
        noise(int(199e6 * scale)),
    )
    cue = struct.pack("<I", int(1e6 * scale)) + b"".join(
        struct.pack("<2I4s3I", k, k, b"data", 0, 0, k) for k in range(int(1e6 * scale))
    )
    put(folder / "cues.wav", wav_head(len(sound)), sound, b"cue " + struct.pack("<I", len(cue)), cue)
