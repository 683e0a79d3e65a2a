#!/usr/bin/env python3
"""Gives Reprise files that are made to hurt it: giant tags and covers, bombs, a hundred thousand links, sizes that
lie, names that belong to pipes and devices, files of 1 TB.

    ./.venv/bin/python scripts/torture/hostile.py [--only WORDS,…] [--scale 1.0] [--keep DIR] [-v]

Each attack lies in a folder of its own beside two encodings of one sound song. The folder goes through `full`, `plan`,
`pair`, `report`, `export`, `apply`, `undo` and `tag`, each with one worker, and a table says how they ended, how long
the longest took and how much memory the launcher and its other processes had at most. Held is an attack if

- no command dies or shows a traceback, and each ends within `limit_s`;
- each file that gives no fingerprint is named with its reason by `full`;
- the two sound files are found to be one recording;
- after `undo` each file has the size and time that it had before `apply`;
- the memory of the launcher and of each other process stays below a limit.

`--scale` makes the attacks smaller. At full size this takes hours, 3 GB of disk (1 TB files are sparse) and 16 GB of
memory at most: no process may take more address space. Exits 1 if an attack was not held."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.files.paths import printable
from scripts.torture import attacks_beside, attacks_containers
from scripts.torture.attacks_tags import ATTACKS, MIB

__all__ = ["ATTACKS", "attacks_beside", "attacks_containers", "make_song"]

LAUNCHER_BYTES = 720 * MIB
"""Most memory that the launcher may take: its own, and what `dedup.files.bounded` allows for one file."""
WORKER_BYTES = 2560 * MIB
"""Most memory that any other process may take: its own, and 2 GiB that FFmpeg gathers of what might be one packet."""
ADDRESS_BYTES = 16 << 30
SONG_S, TIME_LIMIT_S = 20.0, 10
ENVIRONMENT = {**os.environ, "REPRISE_TIME_LIMIT": str(TIME_LIMIT_S)}
MUSIC = {".mp3", ".flac", ".wav", ".m4a", ".ogg", ".mka", ".opus", ".ape", ".wma", ".aac", ".aiff"}


def limit_s(what: str, n_files: int) -> float:
    """Most seconds that a command may take: a minute for itself on a busy machine, and what Reprise grants each file,
    which is tried twice: 140 s for a look at 16 files together and 60 s for one alone, 600 s to hash one, and the time
    limit to decode it. `pair` looks at two files, and `tag` at each that it is given."""
    if what in ("full", "plan"):
        return 60 + 2 * (140 + n_files * (60 + 600 + TIME_LIMIT_S))
    return 60 + (60 + TIME_LIMIT_S) * (n_files if what == "tag" else 4 if what == "pair" else 1)


@dataclass
class Ran:
    """One command of a trial."""

    what: str
    code: int
    took_s: float
    launcher_bytes: int
    others_bytes: int
    """Most memory of any one process that it started."""
    told: str


@dataclass
class Trial:
    """What came of an attack."""

    ran: list[Ran] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def make_song() -> dict[str, bytes]:
    """Encodings of a song of `SONG_S` seconds, by extension."""
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


def run(what: str, command: list[str], most_s: float) -> Ran:
    """Runs a command to its end, or for `most_s` seconds, and notes the memory of it and of its processes."""
    import psutil

    launcher_bytes = others_bytes = 0
    with tempfile.TemporaryFile() as told:
        started = looked = time.monotonic()
        whole = [sys.executable, "-m", "jobs", *command]
        null = subprocess.DEVNULL
        process = subprocess.Popen(whole, stdout=told, stderr=told, stdin=null, cwd=ROOT, env=ENVIRONMENT)
        seen = psutil.Process(process.pid)
        others: list[psutil.Process] = []
        while process.poll() is None:
            launcher_bytes = max(launcher_bytes, peak_of(process.pid))
            others_bytes = max([others_bytes, *(peak_of(other.pid) for other in others)])
            if time.monotonic() > looked + 0.2:
                looked = time.monotonic()
                try:
                    others = seen.children(recursive=True)
                except psutil.Error:
                    others = []
            if time.monotonic() > started + most_s:
                for each in [*others, process]:
                    each.kill()
            time.sleep(0.05)
        told.seek(0)
        text = told.read().decode(errors="replace")
        return Ran(what, process.returncode, time.monotonic() - started, launcher_bytes, others_bytes, text)


def try_attack(name: str, song: dict[str, bytes], work: Path, scale: float) -> Trial:
    """Makes the files of an attack, and runs all commands on them."""
    music, plan = work / "music", str(work / "plan.json")
    shutil.rmtree(work, ignore_errors=True)
    music.mkdir(parents=True)
    (music / "sound.mp3").write_bytes(song["mp3"])
    (music / "sound.ogg").write_bytes(song["ogg"])
    ATTACKS[name](music, song, scale)
    others = [path for path in sorted(music.iterdir()) if not path.name.startswith("sound")]
    sounds = [path for path in others if path.suffix in MUSIC]
    commands = {
        "full": [str(music), "--workers", "1", "--min-length", "4", "--verbose"],
        "plan": ["--workers", "1", "--action", "quarantine", "-o", plan],
        "pair": [str((sounds or others)[0]), str(music / "sound.mp3")],
        "report": [],
        "export": ["pairs"],
        "apply": [plan],
        "undo": [],
        "tag": ["--audio-hash", "--yes", *map(str, sounds)],
    }
    trial, before = Trial(), {}
    for what, arguments in commands.items():
        if what == "apply":
            before = statuses(music)
        ran = run(what, [what, *arguments, "--store", str(work / "store")], limit_s(what, len(others)))
        trial.ran.append(ran)
        judge(ran, trial, len(others), music)
        if what == "undo" and (changed := changes(before, statuses(music))) and "grows" not in name:
            trial.wrong.append(f"after undo these are not as before: {changed}")
    silent = unnamed(work, sounds, trial.ran[0].told)
    if silent:
        trial.wrong.append(f"nothing is said of {silent}")
    return trial


def judge(ran: Ran, trial: Trial, n_files: int, music: Path) -> None:
    """Notes what is wrong with how a command ended."""
    if ran.took_s > limit_s(ran.what, n_files):
        trial.wrong.append(f"{ran.what} was ended after {ran.took_s:.0f} s: {ran.told[-600:]}")
    elif ran.code < 0 or ran.code == 1 or "Traceback" in ran.told or "bug" in ran.told:
        trial.wrong.append(f"{ran.what} ended with {ran.code}: {ran.told[-600:]}")
    if ran.what == "export" and not ("sound.mp3" in ran.told and "sound.ogg" in ran.told):
        trial.wrong.append(f"the sound files were not found: {ran.told[-300:]}")
    if ran.launcher_bytes > LAUNCHER_BYTES:
        trial.wrong.append(f"the launcher of {ran.what} took {ran.launcher_bytes / MIB:,.0f} MiB")
    if ran.others_bytes > WORKER_BYTES:
        trial.wrong.append(f"a process of {ran.what} took {ran.others_bytes / MIB:,.0f} MiB")
    if (music / "sound.mp3").is_symlink():
        trial.wrong.append(f"{ran.what} made a link of a sound file")


def statuses(music: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (status.st_size, status.st_mtime_ns) for path in music.iterdir() for status in [path.lstat()]}


def changes(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """Names of a folder whose files are gone, new or different."""
    return sorted(name for name, _ in before.items() ^ after.items() if name != ".reprise-quarantine")


def unnamed(work: Path, sounds: list[Path], told: str) -> list[str]:
    """Names of the music that the store has no track of, and of which `told` says nothing."""
    command = [sys.executable, "-m", "jobs", "export", "tracks", "--store", str(work / "store")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    known = {os.path.basename(json.loads(line)["path"]) for line in done.stdout.splitlines()}
    regular = [path for path in sounds if path.is_file() and not path.is_symlink()]
    return [path.name for path in regular if path.name not in known and printable(os.fsencode(path)) not in told]


def row(name: str, trial: Trial) -> str:
    """A row of the table."""
    codes = " ".join(str(ran.code) for ran in trial.ran)
    longest = max(trial.ran, key=lambda ran: ran.took_s)
    total_s = sum(ran.took_s for ran in trial.ran)
    sizes = (max(ran.launcher_bytes for ran in trial.ran), max(ran.others_bytes for ran in trial.ran))
    memory = " | ".join(f"{size / MIB:,.0f} MiB" for size in sizes)
    took = f"{total_s:.0f} s | `{longest.what}` {longest.took_s:.0f} s"
    return f"| {name} | {codes} | {took} | {memory} | {'no' if trial.wrong else 'yes'} |"


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS,…", help="attacks whose names have one of these words")
    parser.add_argument("--scale", type=float, default=1.0, metavar="SHARE", help="size of the files; 1 is as named")
    parser.add_argument("--keep", metavar="DIR", help="keep the files of the last attack here")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the commands say")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))  # all that it starts has it too
    wanted = [word for word in options.only.split(",") if word]
    names = [name for name in ATTACKS if not wanted or any(word in name for word in wanted)]
    song, n_bad = make_song(), 0
    print("| attack | ended | all commands | longest | launcher | others | held |", flush=True)
    print("|---|---|---:|---:|---:|---:|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for name in names:
            trial = try_attack(name, song, Path(options.keep or folder) / "trial", options.scale)
            print(row(name, trial), flush=True)
            for ran in trial.ran if options.verbose else ():
                lines = [line for line in ran.told.splitlines() if line.strip()]
                print(f"    --- {ran.what}: {ran.code}, {ran.took_s:.1f} s, {ran.launcher_bytes >> 20} MiB, ", end="")
                print(f"others {ran.others_bytes >> 20} MiB")
                print("".join(f"    {line[:300]}\n" for line in lines[:60]), end="", flush=True)
            for text in trial.wrong:
                print(f"    {text}", flush=True)
            n_bad += bool(trial.wrong)
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
