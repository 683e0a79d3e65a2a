"""Small libraries of real files with copies in them, the stores that know them, and plans; for the tests of what a
clean-up does to a disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pytest
from click.testing import CliRunner, Result

from dedup.cleanup.allowed import Allowed
from dedup.cleanup.apply import Applied, apply_plan, resume_plan
from dedup.cleanup.journal import journals
from dedup.cleanup.undo import Undone, undo
from dedup.groups.judgements import content
from dedup.groups.matches import Matches
from dedup.library.identity import partial_hash, stream_hash
from dedup.library.metadata import audio_key, read_properties, to_json
from dedup.observer import Silent
from dedup.plan.make import make_plan
from dedup.plan.nouns import Action, Plan, PlannedFile, PlannedGroup
from dedup.runner import Stop
from dedup.settings import FingerprintSettings, KeepSettings, MatchSettings, PlanSettings
from dedup.store.items import items_digest
from dedup.store.store import Store, make_or_open, open_for_writing
from dedup.store.tracks import Track
from dedup.tags.merge import Merge
from jobs import cli
from tests.audio_files import write_tone
from tests.listening import pass_among
from tests.stores import copied, recording

SECONDS = 1.0


@cache
def tone(seed: int, extension: str) -> bytes:
    """The bytes of a real file."""
    with tempfile.TemporaryDirectory() as folder:
        return write_tone(Path(folder) / f"x.{extension}", SECONDS, seed=seed).read_bytes()


def make_files(root: Path, recordings: Mapping[str, int]) -> None:
    """Writes each name as a real file of that recording; times of change follow from the names."""
    for name, seed in recordings.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tone(seed, path.suffix[1:]))
        os.utime(path, ns=(1, 1_600_000_000_123_456_789 + 10**9 * len(name)))


def know(
    store: Store, root: Path, recordings: Mapping[str, int], differing: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Enters the files in a store as a scan would that found all files of one recording to sound alike to the last
    bit, but for those of which this share is `differing`, and listened to them."""
    contents: dict[int, list[bytes]] = {}
    with store.catalog.transaction():
        for name, seed in recordings.items():
            path = os.fsencode(root / name)
            status, properties = os.stat(path), read_properties(path)
            items = copied(recording(seed, 200), differing.get(name, 0.0), seed=len(name))
            fingerprint = store.catalog.fingerprints.add(items)
            stream = stream_hash(path)
            contents.setdefault(seed, []).append(content(stream, items_digest(items)))
            audio = store.catalog.audios.add(fingerprint, stream, audio_key(properties), None)
            store.catalog.tracks.put(
                Track(
                    id=0,
                    path=path,
                    root=os.fsencode(root),
                    volume=b"/",
                    size=status.st_size,
                    mtime_ns=status.st_mtime_ns,
                    inode=status.st_ino,
                    device=status.st_dev,
                    state="present",
                    partial=partial_hash(path, status.st_size),
                    full=None,
                    audio=audio,
                    problem_kind=None,
                    problem=None,
                    judged_by=None,
                    properties=json.dumps(to_json(properties)),
                )
            )
    for of_one in contents.values():
        pass_among(store, of_one)


def make_store(
    folder: Path, root: Path, recordings: Mapping[str, int], differing: Mapping[str, float] = MappingProxyType({})
) -> None:
    """A store that knows these files."""
    with make_or_open(folder, FingerprintSettings("1.5.1"), 8, "test") as store:
        know(store, root, recordings, differing)


FILES = {"a.flac": 1, "a.wav": 1, "sub/a.flac": 1, "b.flac": 2, "deep/b.wav": 2}
"""Two recordings, of each a FLAC and a WAV file, and of one another file with the same bytes."""


def make_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of FILES, whose root is given, with a store that knows it, and a trash of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    make_files(folder / "music", FILES)
    make_store(folder / "store", folder / "music", FILES)
    return folder / "music"


def fresh(made: Path) -> Path:
    """The root of a library that was made in `made / "now"` and renamed to "before": as it was made, at the paths that
    its store, beside it, knows."""
    shutil.rmtree(made / "now", ignore_errors=True)
    return Path(shutil.copytree(made / "before", made / "now")) / "music"


def group(
    store: Store,
    root: Path,
    kept: str,
    others: Mapping[str, Action] | Sequence[str],
    merge: Merge | None = None,
) -> PlannedGroup:
    """A group as a plan has it; the others are quarantined where nothing else is said."""
    actions = others if isinstance(others, Mapping) else dict.fromkeys(others, "quarantine")
    files = [planned(store, root, kept, "keep"), *(planned(store, root, name, how) for name, how in actions.items())]
    return PlannedGroup(tuple(files), merge)


def planned(store: Store, root: Path, name: str, action: Action) -> PlannedFile:
    """A file as a plan that was made now has it."""
    track = store.catalog.tracks.get(os.fsencode(root / name))
    assert track is not None
    audio = store.catalog.audios.get(track.audio)
    assert audio is not None
    return PlannedFile(track.path, action, track.size, track.mtime_ns, content(audio.stream, b""))


def plan_of(*groups: PlannedGroup, **more: object) -> Plan:
    return Plan(groups, **more)  # type: ignore[arg-type]


def tree(root: Path, times: bool = True) -> dict[str, object]:
    """All that is below a folder: kind, bytes, mode and time of change of each."""
    found: dict[str, object] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        mtime = status.st_mtime_ns if times else 0
        held = path.read_bytes() if stat.S_ISREG(status.st_mode) else stat.S_IFMT(status.st_mode)
        found[str(path.relative_to(root))] = (held, stat.S_IMODE(status.st_mode), mtime)
    return found


# ---- what the commands do ----


@contextlib.contextmanager
def opened(root: Path) -> Iterator[Store]:
    with open_for_writing(root.parent / "store", "test") as store:
        yield store


def plan_all(store: Store, keep: KeepSettings | None = None, settings: PlanSettings | None = None) -> Plan:
    """As `reprise plan` makes it."""
    matches = Matches(store, MatchSettings())
    return make_plan(store, matches, keep or KeepSettings(), settings or PlanSettings(), Silent())


def carry_out(store: Store, plan: Plan, protect: tuple[bytes, ...] = ()) -> Applied:
    """As `reprise apply --yes` does, with `--to` if the plan names a quarantine."""
    return apply_plan(
        store=store,
        plan=plan,
        observer=Silent(),
        stop=Stop(),
        may_delete=lambda *_: True,
        allowed=Allowed(to=plan.to, keep=KeepSettings(protect=protect)),
    )


def go_on(store: Store, to: bytes | None = None) -> Applied:
    """As `reprise apply --resume` does, with `--to`."""
    allowed = Allowed(to=to)
    return resume_plan(store=store, observer=Silent(), stop=Stop(), allowed=allowed)


def take_back(store: Store) -> Undone:
    """As `reprise undo` does, of the last clean-up; nothing if there is nothing to take back."""
    past = journals(store.layout.folder)
    if not past:
        return Undone(0)
    last = past[-1]
    number = int(last.id)
    if not last.is_open and not any(last.steps_of("begun", "done")):
        return Undone(number)
    return undo(store=store, number=number, observer=Silent(), stop=Stop())


def run(root: Path, *arguments: object, typed: str | None = None) -> Result:
    """A command of the program, on the store of this library."""
    words = [*map(str, arguments), "--store", str(root.parent / "store")]
    result = CliRunner().invoke(cli.cli, words, input=typed)
    assert "Traceback" not in result.output
    return result
