#!/usr/bin/env python3
"""Gives Reprise files that are made to hurt it: giant tags and covers, bombs, a hundred thousand links, sizes that
lie, names that belong to pipes and devices.

    ./.venv/bin/python scripts/torture/hostile.py [--only NAME,…] [--scale 1.0] [--keep DIR]

Each attack lies in a folder of its own beside two encodings of one sound song. The folder goes through `full`, `plan`,
`tag` and `pair`, each with a worker, and a table says how they ended, how long they took and how much memory the
launcher and the worker had at most. Held is an attack if no command dies or shows a traceback, the two sound files
are always found to be one recording, and the launcher's memory stays below a limit. Exits 1 if one was not held."""

# ruff: noqa: ARG001 -- attacks are functions of one signature

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

MIB = 1 << 20
LAUNCHER_BYTES = 720 * MIB
"""Most memory that the launcher may take: its own, and what `dedup.files.bounded` allows for one file."""
TIMEOUT_S = 900.0
SONG_S = 20.0

Attack = Callable[[Path, dict[str, bytes], float], None]
"""Makes files in a folder, of the bytes of a song by extension, at a scale: 1 is the size that the name says."""
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    def register(make: Attack) -> Attack:
        ATTACKS[name] = make
        return make

    return register


def put(path: Path, *pieces: bytes | Iterator[bytes]) -> None:
    """Writes a file of pieces, of which none need fit into memory together with the others."""
    with open(path, "wb") as file:
        for piece in pieces:
            if isinstance(piece, bytes):
                file.write(piece)
            else:
                file.writelines(piece)


def noise(n_bytes: int, seed: int = 1) -> Iterator[bytes]:
    """Bytes that no compression makes smaller, a MiB at a time."""
    rng = random.Random(seed)
    block = rng.randbytes(MIB)
    for at in range(0, n_bytes, MIB):
        yield block[: n_bytes - at]


# ---- ID3


def syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3_header(n_bytes: int) -> bytes:
    return b"ID3\x04\x00\x00" + syncsafe(n_bytes)


@attack("an ID3 picture of 250 MB")
def id3_picture(folder: Path, song: dict[str, bytes], scale: float) -> None:
    n = int(250e6 * scale)
    head = b"\x00image/jpeg\x00\x03\x00\xff\xd8\xff"
    frame = b"APIC" + syncsafe(len(head) + n) + b"\x00\x00" + head
    put(folder / "x.mp3", id3_header(len(frame) + n), frame, noise(n), song["mp3"])


@attack("an ID3 tag of 5 million texts")
def id3_texts(folder: Path, song: dict[str, bytes], scale: float) -> None:
    def frames() -> Iterator[bytes]:
        for first in range(0, n, 10_000):
            yield b"".join(
                b"TXXX" + syncsafe(12) + b"\x00\x00\x03" + b"%08x" % k + b"\x00ab" for k in range(first, first + 10_000)
            )

    n = int(500 * scale) * 10_000 or 10_000
    put(folder / "x.mp3", id3_header(22 * n), frames(), song["mp3"])


@attack("an ID3 tag that claims 256 MB, and one of a compressed bomb")
def id3_claims(folder: Path, song: dict[str, bytes], scale: float) -> None:
    put(folder / "x.mp3", id3_header((1 << 28) - 1), song["mp3"])
    n = int(1e9 * scale)
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(n // MIB)) + packer.flush()
    frame = b"PRIV" + syncsafe(4 + len(bomb)) + b"\x00\x09" + syncsafe(min(n, (1 << 28) - 1)) + bomb
    put(folder / "y.mp3", id3_header(len(frame)), frame, song["mp3"])


# ---- APE, FLAC, Vorbis


def ape(items: int, size: int) -> bytes:
    return b"APETAGEX" + struct.pack("<4I8x", 2000, size, items, 0)


@attack("an APE tag with a cover of 200 MB, and one that claims 4 GB")
def ape_cover(folder: Path, song: dict[str, bytes], scale: float) -> None:
    n = int(200e6 * scale)
    item = struct.pack("<2I", n, 2) + b"Cover Art (Front)\x00"
    put(folder / "x.mp3", song["mp3"], item, noise(n), ape(1, len(item) + n + 32))
    item = struct.pack("<2I", 0xFFFFFFF0, 2) + b"Cover Art (Front)\x00"
    put(folder / "y.mp3", song["mp3"], item, ape(1, 0xFFFFFFF0))


def flac_block(kind: int, n_bytes: int) -> bytes:
    return bytes([kind]) + n_bytes.to_bytes(3, "big")


def flac_picture(n_bytes: int, claimed: int | None = None) -> bytes:
    head = struct.pack(">2I", 3, 10) + b"image/jpeg" + struct.pack(">6I", 0, 9, 9, 24, 0, claimed or n_bytes)
    return flac_block(6, len(head) + n_bytes) + head


@attack("a FLAC with 20 pictures of 15 MB, and one that claims 4 GB")
def flac_pictures(folder: Path, song: dict[str, bytes], scale: float) -> None:
    flac, n = song["flac"], int(15e6 * scale)
    many = [part for k in range(20) for part in (flac_picture(n), noise(n, k))]
    put(folder / "x.flac", flac[:42].replace(b"fLaC\x80", b"fLaC\x00"), *many, flac[42:])
    put(
        folder / "y.flac",
        flac[:42].replace(b"fLaC\x80", b"fLaC\x00"),
        flac_picture(100, 0xFFFFFFF0),
        bytes(100),
        flac[42:],
    )


@attack("a FLAC with 100,000 pictures")
def flac_many(folder: Path, song: dict[str, bytes], scale: float) -> None:
    flac, n = song["flac"], int(100_000 * scale)
    put(folder / "x.flac", flac[:42], (flac_picture(8) + b"%08x" % k for k in range(n)), flac[42:])


@attack("a FLAC with a million comments of a few letters")
def flac_comments(folder: Path, song: dict[str, bytes], scale: float) -> None:
    flac, n = song["flac"], int(1e6 * scale)
    body = struct.pack("<2I", 0, n) + b"".join(struct.pack("<I", 10) + b"A%06x=ab" % k for k in range(n))
    put(folder / "x.flac", flac[:42], flac_block(4, len(body)), body, flac[42:])


def ogg_pages(packets: list[bytes], serial: int, first_flag: int = 2, granule: int = 0) -> Iterator[bytes]:
    """Pages of packets; each packet begins a page."""
    number = 0
    for packet in packets:
        sizes = [255] * (len(packet) // 255) + [len(packet) % 255]
        at = 0
        while sizes:
            taken, sizes = sizes[:255], sizes[255:]
            data = packet[at : at + sum(taken)]
            flag = (first_flag if number == 0 else 0) | (1 if at else 0)
            at += len(data)
            where = granule if not sizes else 0xFFFFFFFFFFFFFFFF
            head = b"OggS" + struct.pack("<BBQIII", 0, flag, where, serial, number, 0) + bytes([len(taken), *taken])
            page = head + data
            yield page[:22] + struct.pack("<I", ogg_crc(page)) + page[26:]
            number += 1


def ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc = crc << 8 & 0xFFFFFFFF ^ _CRC[crc >> 24 ^ byte]
    return crc


def _crc_entry(index: int) -> int:
    crc = index << 24
    for _ in range(8):
        crc = crc << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if crc >> 31 else 0)
    return crc


_CRC = [_crc_entry(index) for index in range(256)]


def opus_head(channels: int = 2, skip: int = 312, mapping: int = 0, more: bytes = b"") -> bytes:
    return b"OpusHead" + struct.pack("<BBHIhB", 1, channels, skip, 48000, 0, mapping) + more


OPUS_TAGS = b"OpusTags" + struct.pack("<2I", 0, 0)


@attack("an Opus comment of 200 MB")
def opus_comment(folder: Path, song: dict[str, bytes], scale: float) -> None:
    n = int(200e6 * scale) // 65025 * 65025

    def pages() -> Iterator[bytes]:
        # One huge packet: full pages of 255 segments; no check sum, as mutagen asks for none.
        body = b"OpusTags" + struct.pack("<3I", 0, 1, n - 20) + b"DESCRIPTION="
        for number in range(n // 65025):
            data = (body if number == 0 else b"").ljust(65025, b"a")
            yield (
                b"OggS"
                + struct.pack("<BBQIII", 0, number > 0, 2**64 - 1, 7, number + 1, 0)
                + bytes([255] + [255] * 255)
                + data
            )
        yield b"OggS" + struct.pack("<BBQIII", 0, 1, 0, 7, n // 65025 + 1, 0) + b"\x01\x00"

    put(folder / "x.opus", ogg_pages([opus_head()], 7), pages())


@attack("Opus with 255 channels, the largest pre-skip and sample counts")
def opus_absurd(folder: Path, song: dict[str, bytes], scale: float) -> None:
    absurd = {
        "a": opus_head(255, 65535, 255, bytes([255, 0]) + bytes(range(255))),
        "b": opus_head(255, 65535, 1, bytes([200, 200]) + b"\xff" * 255),
        "c": opus_head(0, 65535),
        "d": opus_head(2, 65535),
        "e": opus_head(255, 0, 3, b"\xff" * 400),
    }
    for name, head in absurd.items():
        frames = [b"\xfc\xff\xfe"] * 20
        for suffix, granule in (("", 2**63 - 1), ("2", 2**64 - 2), ("3", 0)):
            put(folder / f"{name}{suffix}.opus", ogg_pages([head, OPUS_TAGS, *frames], 7, granule=granule))


@attack("an Ogg chain of 100,000 links")
def ogg_chain(folder: Path, song: dict[str, bytes], scale: float) -> None:
    links = (
        b"".join(ogg_pages([opus_head(), OPUS_TAGS, b"\xfc\xff\xfe"], serial, granule=960))
        for serial in range(int(100_000 * scale))
    )
    put(folder / "x.opus", links)


@attack("an Ogg file of a million streams")
def ogg_streams(folder: Path, song: dict[str, bytes], scale: float) -> None:
    n = int(1e6 * scale)
    put(folder / "x.ogg", (page for serial in range(n) for page in ogg_pages([opus_head()], serial)))


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


# ---- what lies beside music


@attack("playlists of 64 MB and more, and XML bombs")
def playlists(folder: Path, song: dict[str, bytes], scale: float) -> None:
    n = int(64e6 * scale)
    put(folder / "a.m3u", b"sound.mp3\n" * (n // 10 - 1000))
    put(folder / "b.m3u8", b"sound.mp3\n" * (2 * n // 10))
    put(folder / "c.cue", b'FILE "sound.mp3" MP3\n' * (n // 22))
    put(folder / "d.pls", b"[playlist]\n", *(b"File%d=sound.mp3\n" % k for k in range(n // 24)))
    put(folder / "line.m3u", b"a" * (n - 100))
    head = b'<?xml version="1.0"?>\n<!DOCTYPE p [<!ENTITY a0 "aaaaaaaaaa">'
    bomb = b"".join(b'<!ENTITY a%d "%s">' % (k, b"&a%d;" % (k - 1) * 10) for k in range(1, 12))
    put(
        folder / "e.xspf",
        head + bomb + b"]><playlist><trackList><track><location>&a11;</location></track></trackList></playlist>",
    )
    entry = b"<track><location>sound.mp3</location></track>\n"
    put(
        folder / "f.xspf",
        b'<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList>',
        entry * (n // len(entry) - 100),
        b"</trackList></playlist>",
    )
    put(folder / "g.xspf", b"<a>" * (n // 3 // 10))
    put(folder / "h.wpl", b"<smil><body><seq>", b'<media src="sound.mp3"/>' * (n // 25), b"</seq></body></smil>")


@attack("pipes, sockets, devices and links to them with the names of music")
def special(folder: Path, song: dict[str, bytes], scale: float) -> None:
    for name in ("x.mp3", "cover.jpg", "x.m3u", "x.cue", "sound.lrc", "folder.jpg", "x.xspf"):
        os.mkfifo(folder / name)
    for name, target in (
        ("zero.mp3", "/dev/zero"),
        ("tty.flac", "/dev/tty"),
        ("zero.m3u", "/dev/zero"),
        ("self.mp3", "self.mp3"),
        ("mem.wav", "/proc/kcore"),
        ("zero.jpg", "/dev/zero"),
    ):
        (folder / name).symlink_to(target)
    here = os.getcwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("y.mp3")
    finally:
        os.chdir(here)


@attack("sparse files of 1 TB")
def sparse(folder: Path, song: dict[str, bytes], scale: float) -> None:
    heads = {
        "a.mp3": song["mp3"],
        "b.flac": song["flac"],
        "c.wav": wav_head(0xFFFFFFFF),
        "d.m4a": song["m4a"],
        "e.ogg": song["ogg"],
        "f.mp3": b"",
        "g.m3u": b"",
        "h.cue": b"",
        "i.mka": matroska(track(1)),
        "cover.jpg": b"\xff\xd8\xff",
        "j.opus": b"",
        "k.ape": b"MAC ",
        "l.wma": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        "m.xspf": b"<playlist>",
        "n.aac": b"\xff\xf1",
    }
    for name, head in heads.items():
        with open(folder / name, "wb") as file:
            file.write(head)
            file.truncate(int(1e12 * scale))


@attack("a file that grows while it is read")
def growing(folder: Path, song: dict[str, bytes], scale: float) -> None:
    path = folder / "x.mp3"
    path.write_bytes(song["mp3"])

    def grow() -> None:
        frames = song["mp3"][-20_000:]
        end = time.monotonic() + 40
        while time.monotonic() < end and path.exists():
            with open(path, "ab") as file:
                file.write(frames)
            time.sleep(0.002)

    threading.Thread(target=grow, daemon=True).start()


# ---- a trial


@dataclass
class Trial:
    """What came of an attack."""

    codes: list[int]
    took_s: float
    launcher_bytes: int
    worker_bytes: int
    wrong: list[str]
    said: list[str]


def make_song() -> dict[str, bytes]:
    from dedup.synthesis.encode import Encoding, write
    from dedup.synthesis.music import compose

    samples, found = compose(5, "somebody", SONG_S), {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, extension in (("mp3", "mp3"), ("flac", "flac"), ("aac", "m4a"), ("vorbis", "ogg")):
            path = Path(folder) / f"song.{extension}"
            write(str(path), samples, Encoding(kind, 96_000))
            found[extension] = path.read_bytes()
    return found


def peak_of(pid: int) -> int:
    """Most memory, in bytes, that a process had; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def watched(command: list[str], trial: Trial) -> tuple[int, str]:
    """Runs a command to its end and notes the memory of it and of its workers."""
    import psutil

    with tempfile.TemporaryFile() as told:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=told, stderr=told, stdin=subprocess.DEVNULL, cwd=ROOT)
        seen = psutil.Process(process.pid)
        children: list[psutil.Process] = []
        looked = 0.0
        while process.poll() is None:
            trial.launcher_bytes = max(trial.launcher_bytes, peak_of(process.pid))
            if time.monotonic() > looked + 0.5:
                looked = time.monotonic()
                try:
                    children = seen.children(recursive=True)
                except psutil.Error:
                    children = []
            trial.worker_bytes = max([trial.worker_bytes, *(peak_of(child.pid) for child in children)])
            if time.monotonic() > started + TIMEOUT_S:
                for child in children:
                    child.kill()
                process.kill()
            time.sleep(0.03)
        told.seek(0)
        return process.returncode, told.read().decode(errors="replace")


def try_attack(name: str, song: dict[str, bytes], work: Path, scale: float) -> Trial:
    music, store = work / "music", work / "store"
    shutil.rmtree(work, ignore_errors=True)
    music.mkdir(parents=True)
    (music / "sound.mp3").write_bytes(song["mp3"])
    (music / "sound.ogg").write_bytes(song["ogg"])
    ATTACKS[name](music, song, scale)
    trial, started = Trial([], 0.0, 0, 0, [], []), time.monotonic()
    reprise = [sys.executable, "-m", "jobs"]
    first = sorted(path for path in music.iterdir() if not path.name.startswith("sound"))[0]
    commands = {
        "full": ["full", str(music), "--workers", "1", "--min-length", "4", "--time-limit", "10"],
        "plan": ["plan", "--workers", "1", "-o", str(work / "plan.json")],
        "tag": ["tag", "--audio-hash", "--yes", *map(str, sorted(music.glob("*.???")))],
        "pair": ["pair", str(first), str(music / "sound.mp3")],
        "report": ["report"],
        "pairs": ["export", "pairs"],
    }
    for what, command in commands.items():
        before = time.monotonic()
        code, told = watched([*reprise, *command, "--store", str(store)], trial)
        trial.codes.append(code)
        trial.said += [
            f"{what} ({time.monotonic() - before:.1f} s, {code}): {line}" for line in told.splitlines() if ": " in line
        ][:40]
        if code < 0 or code == 1 or "Traceback" in told or "bug" in told:
            trial.wrong.append(f"{what} ended with {code}: {told[-600:]}")
        if what == "pairs" and not ("sound.mp3" in told and "sound.ogg" in told):
            trial.wrong.append(f"the sound files were not found: {told[-300:]}")
    if trial.launcher_bytes > LAUNCHER_BYTES:
        trial.wrong.append(f"the launcher took {trial.launcher_bytes / MIB:,.0f} MiB")
    trial.took_s = time.monotonic() - started
    return trial


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS,…", help="attacks whose names have one of these words")
    parser.add_argument("--scale", type=float, default=1.0, metavar="SHARE", help="size of the files; 1 is as named")
    parser.add_argument("--keep", metavar="DIR", help="keep the files of the last attack here")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the commands say")
    options = parser.parse_args()
    wanted = [word for word in options.only.split(",") if word]
    names = [name for name in ATTACKS if not wanted or any(word in name for word in wanted)]
    song, n_bad = make_song(), 0
    print("| attack | ended | time | launcher | worker | held |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        work = Path(options.keep or folder) / "trial"
        for name in names:
            trial = try_attack(name, song, work, options.scale)
            ended, held = " ".join(map(str, trial.codes)), "no" if trial.wrong else "yes"
            sizes = " | ".join(f"{n / MIB:,.0f} MiB" for n in (trial.launcher_bytes, trial.worker_bytes))
            print(f"| {name} | {ended} | {trial.took_s:.0f} s | {sizes} | {held} |", flush=True)
            for text in [*(trial.said if options.verbose else ()), *trial.wrong]:
                print(f"    {text}", flush=True)
            n_bad += bool(trial.wrong)
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
