"""What lies in a library and is no sound file, or only seems to be one: playlists, pipes, sparse files, a file that
grows."""

# ruff: noqa: ARG001 -- attacks are functions of one signature

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

from scripts.torture.attacks_containers import matroska, track, wav_head
from scripts.torture.attacks_tags import attack, put


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


@attack("playlists in a circle, with lines of 1 GB, and of files whose names have line ends")
def playlist_lines(folder: Path, song: dict[str, bytes], scale: float) -> None:
    put(folder / "a.m3u", b"a.m3u\nb.m3u8\nsound.mp3\nsound.ogg\n")
    put(folder / "b.m3u8", b"a.m3u\nb.m3u8\nc.pls\n" * 1000)
    put(folder / "c.pls", b"[playlist]\nFile1=a.m3u\nFile2=c.pls\nFile3=sound.ogg\nNumberOfEntries=99999999999999\n")
    for name in ("line.m3u", "line.cue", "line.pls", "line.xspf"):
        with open(folder / name, "wb") as file:
            file.write(b"[playlist]\nFile1=" if name == "line.pls" else b"sound.mp3\n")
            file.truncate(int(1e9 * scale))
    for name in ("b\nsound.mp3\n", "c\r#EXTM3U\r", "d\u2028\x85e"):
        put(folder / f"{name}.flac", song["flac"])
    put(folder / "ends.m3u8", b"sound.mp3\nsound.ogg\nb%0Asound.mp3%0A.flac\n")
    entries = b"<track><location>b%0Asound.mp3%0A.flac</location></track><track><location>sound.mp3</location></track>"
    head = b'<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList>'
    put(folder / "ends.xspf", head, entries, b"</trackList></playlist>")


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
