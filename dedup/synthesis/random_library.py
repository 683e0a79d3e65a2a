"""Small libraries from a seed, made of cuts, overlaps, mixes, speeds, mono copies, further streams, chapters, lyrics
and side-cars of one song, with the truth about them as `scripts/study/check_plan.py` reads it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import SAMPLE_RATE, Pcm
from dedup.synthesis.voices import backing, lead, with_lead

SECONDS = 32.0
N_SONGS = 3
"""Songs of which all libraries are made: making one takes as long as a library."""
ENCODINGS = (Encoding("flac"), Encoding("mp3", 128_000), Encoding("opus", 96_000), Encoding("mp3", 96_000))


@dataclass(frozen=True)
class Made:
    """How one file was made."""

    name: str
    mix: str
    start_s: float
    end_s: float
    speed: float
    mono: bool
    more: str
    """Its further stream: "picture", or the language of a sound track; empty if none."""
    texts: tuple[str, ...]
    """What its chapters and lyrics say, and no other file's."""


@functools.cache
def mixes(song: int) -> dict[str, Pcm]:
    """A song without a lead, and with each of two."""
    plain = backing("song", song, SECONDS)
    sung = with_lead(plain, lead("sung", song, SECONDS), -4)
    played = with_lead(plain, lead("guitar", song + 1, SECONDS), -4)
    return {"plain": plain, "sung": sung, "played": played}


def make_library(root: Path, seed: int, n_files: int = 5) -> dict[str, Any]:
    """Writes the files below `root` and returns the truth."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True)
    made = [_make(root, rng, seed % N_SONGS, number) for number in range(n_files)]
    return {"files": [_truth(one) for one in made]}


def _make(root: Path, rng: np.random.Generator, song: int, number: int) -> Made:
    mix = str(rng.choice(["plain", "plain", "sung", "played"]))
    start_s = float(rng.choice([0.0, 0.0, 0.0, 3.0, 8.0]))
    end_s = SECONDS - float(rng.choice([0.0, 0.0, 0.0, 2.5, 7.0]))
    speed = float(rng.choice([1.0, 1.0, 1.0, 1.0, 1.02]))
    mono = bool(rng.random() < 0.15)
    encoding = ENCODINGS[int(rng.integers(len(ENCODINGS)))]
    encoding = Encoding(encoding.format, encoding.bit_rate, mono=mono)
    sound = mixes(song)[mix][round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
    if speed != 1.0:
        at = np.arange(0, len(sound) - 1, speed)
        sound = np.stack([np.interp(at, np.arange(len(sound)), sound[:, c]) for c in (0, 1)], axis=1).astype(np.float32)
    stem = f"{number} {mix} {start_s:g}-{end_s:g} x{speed:g}"
    name = f"{stem}.{encoding.extension}"
    write(str(root / name), sound, encoding)
    more = str(rng.choice(["picture", "deu", "fra"])) if rng.random() < 0.2 else ""
    if more:
        name = f"{stem}.{'mkv' if more == 'picture' else 'mka'}"
        with_more(root / f"{stem}.{encoding.extension}", root / name, more, number)
    texts = _with_texts(root / name, number, rng) if not more and rng.random() < 0.4 else ()
    if rng.random() < 0.1:
        (root / f"{stem}.srt").write_text(f"1\n00:00:01,000 --> 00:00:02,000\n{number}\n")
    return Made(name, mix, start_s, end_s, speed, mono, more, texts)


def _with_texts(path: Path, number: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Gives a file chapters, lyrics or both; returns what they say."""
    import mutagen
    from mutagen.id3 import CHAP, CTOC, TIT2, USLT

    titles = [f"Part {number}.{part}" for part in (1, 2)] if rng.random() < 0.6 else []
    words = [f"Words of {number}"] if not titles or rng.random() < 0.5 else []
    file = mutagen.File(path)
    if path.suffix == ".mp3":
        if file.tags is None:
            file.add_tags()
        for at, title in enumerate(titles):
            start, end = 9000 * at, 9000 * (at + 1)
            named = [TIT2(encoding=3, text=[title])]
            file.tags.add(CHAP(element_id=title, start_time=start, end_time=end, sub_frames=named))
        if titles:
            file.tags.add(CTOC(element_id="toc", flags=3, child_element_ids=titles, sub_frames=[]))
        for text in words:
            file.tags.add(USLT(encoding=3, lang=str(rng.choice(["eng", "deu"])), desc="", text=text))
    else:
        for at, title in enumerate(titles):
            file[f"CHAPTER00{at + 1}"], file[f"CHAPTER00{at + 1}NAME"] = f"00:00:{9 * at:02}.000", title
        if words:
            file["LYRICS"] = words
    file.save()
    return (*titles, *words)


def with_more(source: Path, path: Path, more: str, number: int) -> None:
    """Makes the source a Matroska file with a further stream, and removes it."""
    import av

    with av.open(str(source)) as sound, av.open(str(path), "w", format="matroska") as container:
        track = container.add_stream_from_template(sound.streams.audio[0])
        packets = [packet for packet in sound.demux(sound.streams.audio[0]) if packet.dts is not None]
        if more == "picture":
            picture = container.add_stream("mpeg4", rate=2, width=32, height=32, pix_fmt="yuv420p")
            image = av.VideoFrame.from_ndarray(np.full((48, 32), 40 * number, np.uint8), "yuv420p")
            for at in range(2 * round(SECONDS)):
                image.pts, image.time_base = at, Fraction(1, 2)
                container.mux(picture.encode(image))
            container.mux(picture.encode(None))
        else:
            track.metadata["language"] = "eng"
            spoken = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            spoken.metadata["language"] = more
            noise = np.random.default_rng(number).integers(-999, 999, (1, 8000), np.int16)
            frame = av.AudioFrame.from_ndarray(noise, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, 0
            container.mux(spoken.encode(frame))
            container.mux(spoken.encode(None))
        for packet in packets:
            packet.stream = track
            container.mux(packet)
    source.unlink()


def _truth(made: Made) -> dict[str, Any]:
    filters = f"atrim=start={made.start_s:g}" + (f",asetrate=44100*{made.speed:g}" if made.speed != 1 else "")
    told = {
        "recording": "song",
        "class": "made",
        "expect": "may",
        "filter": filters,
        "mix": made.mix,
        "mono": made.mono,
        "texts": made.texts,
    }
    return {"path": made.name, **told}
