"""Small libraries of real files whose tags make hostile names, for the tests of what moves where."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from mutagen.flac import FLAC


def tag_file(path: Path, **fields: str) -> None:
    """Gives a FLAC file these tags, and no other time of change than it had."""
    status = path.stat()
    file = FLAC(path)
    file.delete()
    for name, value in fields.items():
        file[name] = value
    file.save()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


WORDS = (
    *(
        "Öl",
        "O\u0308l",
        "ÖL",
        "AC/DC",
        "a\\b",
        "CON",
        "nul",
        "com1.x",
        "...",
        ".hidden",
        "-rf",
        "~",
        "R.E.M.",
        " blank ",
    ),
    *(
        "x" * 300,
        "é" * 200,
        "\U0001f3b5" * 120,
        "\u202egpj.exe",
        'a:b*c?d"e<f>g|h',
        "line\nbreak",
        "tab\there",
        "$HOME",
    ),
    *("%s", "日本語", "שלום", "ß", "SS", "ss", "İ", "i", "I", "..", "/", "Song (2)", "Song", "song", "SONG"),
)
"""What people, and programs that guess an encoding, write into tags."""


def hostile_tags(rng: Random) -> dict[str, str]:
    """Tags of one file; a third of all files have names that others have too, and some lack one."""
    artist, album = rng.choice(WORDS[:24]), rng.choice(WORDS)
    tags = {"artist": artist, "album": album, "title": rng.choice(WORDS), "tracknumber": str(rng.randint(1, 9))}
    if rng.random() < 0.2:
        tags["discnumber"] = str(rng.randint(1, 3))
    if rng.random() < 0.05:
        del tags[rng.choice(sorted(tags))]
    return tags


def hostile_name(rng: Random, number: int) -> bytes:
    """A name that a disk of Linux takes: with line breaks, bytes that are not UTF-8, blanks, quotes, other cases."""
    folder = rng.choice(
        (b"a", b"A", b"in\ncoming", b"\xff\xfe", b" blank ", b"deep/er/and deeper", b"\xc3\x96", b"O\xcc\x88")
    )
    stem = rng.choice(
        (b"01", b"\xe4hnlich", b"quote\"s'", b"back\\slash", b"-dash", b".".join([b"d"] * 20), b"\n", b"Song")
    )
    return b"%s/%s %d.flac" % (folder, stem, number)


def make_hostile(root: Path, n_files: int, sound: bytes, seed: int = 1) -> list[bytes]:
    """Writes files of hostile names and tags, with side-cars, covers, cue sheets and playlists. Paths of the music."""
    rng = Random(seed)
    paths = []
    for number in range(n_files):
        path = os.path.join(os.fsencode(root), hostile_name(rng, number))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(sound)
        tag_file(Path(os.fsdecode(path)), comment=str(number), **hostile_tags(rng))
        paths.append(path)
        if rng.random() < 0.2:
            _write(os.path.splitext(path)[0] + rng.choice((b".lrc", b".flac.txt", b".de.srt")), b"%d" % number)
        if rng.random() < 0.05:
            _write(
                os.path.splitext(path)[0] + b".cue", b'FILE "%s" WAVE\r\n' % os.path.basename(path).replace(b'"', b"")
            )
    for folder in sorted({os.path.dirname(path) for path in paths}):
        _write(os.path.join(folder, b"cover.jpg"), folder)
        _write(os.path.join(folder, b"Thumbs.db"), b"litter")
    plain = [os.path.relpath(path, os.fsencode(root)) for path in paths if b"\n" not in path]
    _write(os.path.join(os.fsencode(root), b"all.m3u8"), b"\n".join(plain) + b"\n")
    for at, path in enumerate(sorted(_all(root), key=len, reverse=True)):
        os.utime(path, ns=(1, 1_500_000_000_000_000_001 + at * 10**9), follow_symlinks=False)
    return paths


def _all(root: Path) -> list[bytes]:
    found = [os.fsencode(root)]
    for folder, folders, files in os.walk(os.fsencode(root)):
        found += [os.path.join(folder, name) for name in (*folders, *files)]
    return found


def _write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def byte_tree(root: Path) -> dict[bytes, tuple[bytes, int, int]]:
    """All that is below a folder, by its path there: bytes of each file, mode, and time of change."""
    top, found = os.fsencode(root), {}
    for path in _all(root):
        status = os.lstat(path)
        held = Path(os.fsdecode(path)).read_bytes() if os.path.isfile(path) else b"folder"
        found[os.path.relpath(path, top)] = held, status.st_mode, status.st_mtime_ns
    return found
