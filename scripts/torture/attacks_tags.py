"""Files that are made to hurt whoever reads their tags: giant and countless frames, comments and pictures, chains and
bombs. `attacks_containers` and `attacks_beside` have others; `hostile.py` tries them."""

# ruff: noqa: ARG001 -- attacks are functions of one signature

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.torture.registry import registering

MIB = 1 << 20


Attack = Callable[[Path, dict[str, bytes], float], None]
"""Makes files in a folder, of the bytes of a song by extension, at a scale: 1 is the size that the name says."""
ATTACKS: dict[str, Attack] = {}


attack = registering(ATTACKS)


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


@attack("an Opus file of 15 MB that plays for a week")
def opus_week(folder: Path, song: dict[str, bytes], scale: float) -> None:
    def pages() -> Iterator[bytes]:
        # 255 packets a page, each of 48 empty frames of 2.5 ms.
        for number in range(2, 2 + int(20_000 * scale)):
            head = b"OggS" + struct.pack("<BBQIII", 0, 0, (number - 1) * 255 * 5760, 7, number, 0)
            page = head + bytes([255]) + b"\x02" * 255 + b"\x83\x30" * 255
            yield page[:22] + struct.pack("<I", ogg_crc(page)) + page[26:]

    put(folder / "x.opus", ogg_pages([opus_head(), OPUS_TAGS], 7), pages())


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
