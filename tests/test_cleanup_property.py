"""Random libraries, rules and plans, killed at random moments: in the end every file is where and what it was."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.cleanup.journal import journals
from dedup.settings import FingerprintSettings, KeepSettings, PlanSettings
from dedup.store.store import make_or_open
from dedup.tags.write import write_tags
from tests.cleanups import carry_out, go_on, know, make_files, opened, plan_all, take_back, tree

CALLS = ["rename", "replace", "unlink", "link", "rmdir", "mkdir", "utime", "fsync", "truncate", "chmod"]
FOLDERS = ("", "one/", "one/deep/", "two/", "zwei ü/")
NAMES = ("song", "song (1)", "Song - Copy", "x" * 120)
KINDS = ("flac", "wav", "mp3", "ogg")


class KilledError(BaseException):
    """Stands for a kill: nothing on its way out can touch the disk any more."""


@contextlib.contextmanager
def killed_at(moment: int) -> Iterator[list[int]]:
    """From the moment-th of the calls that change a disk on, each raises KilledError, as none of a process that is
    dead would be made. Gives a list that has how many there were."""
    seen = [0]

    def deadly(function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            seen[0] += 1
            if seen[0] >= moment:
                raise KilledError
            return function(*arguments, **more)

        return call

    with contextlib.ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(mock.patch.object(os, name, deadly(getattr(os, name))))
        with contextlib.suppress(KilledError):
            yield seen


@dataclass
class Library:
    """What a library and a plan are made of."""

    files: dict[str, int]
    keep: KeepSettings
    plan: PlanSettings
    playlist: list[str]
    litter: list[str]
    tagged: list[str]


@st.composite
def libraries(draw: Any) -> Library:
    names = ["".join(parts) for parts in itertools.product(FOLDERS, NAMES, [f".{kind}" for kind in KINDS])]
    chosen = draw(st.lists(st.sampled_from(names), min_size=2, max_size=7, unique=True))
    files = {name: draw(st.integers(1, 2)) for name in chosen}
    rules = draw(
        st.lists(st.sampled_from(["lossless", "newest", "smallest", "named", "length"]), unique=True, max_size=3)
    )
    return Library(
        files=files,
        keep=KeepSettings(rules=(*rules, "best")),
        plan=PlanSettings(
            action=draw(st.sampled_from(["quarantine", "quarantine", "hardlink"])),
            merge=draw(st.booleans()),
            remove_empty_folders=draw(st.booleans()),
        ),
        playlist=draw(st.lists(st.sampled_from(chosen), max_size=4)),
        litter=draw(st.lists(st.sampled_from(["one/Thumbs.db", "one/deep/.DS_Store", "two/note.txt"]), unique=True)),
        tagged=draw(st.lists(st.sampled_from(chosen), unique=True)),
    )


def build(library: Library, folder: Path) -> Path:
    root = folder / "music"
    make_files(root, library.files)
    for name in library.tagged:
        write_tags(os.fsencode(root / name), {"title": [name], "genre": [name[-3:]], "lyrics": ["La"]})
        os.utime(root / name, ns=(1, 1_600_000_000_987_654_321))
    for name in library.litter:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"litter")
    if library.playlist:
        (root / "list.m3u8").write_text("\n".join(["#EXTM3U", *library.playlist, ""]))
    for path in [*sorted(root.rglob("*"), reverse=True), root]:
        if path.is_dir():
            os.utime(path, ns=(1, 1_500_000_000_000_000_001))
    with make_or_open(folder / "store", FingerprintSettings("1.5.1"), 8, "test") as store:
        know(store, root, library.files)
    return root


EXAMPLES = int(os.environ.get("REPRISE_CLEANUPS", "40"))
"""More by hand: with another number come other examples."""

MOMENTS, UNDONE_AT = st.lists(st.integers(1, 120), max_size=3), st.integers(1, 60)


NOTHING_TO_DO = Library({"song.flac": 1, "song.wav": 1}, KeepSettings(), PlanSettings(action="hardlink"), [], [], [])
"""Its plan has no step, so that its journal is removed."""


@settings(max_examples=8)
@given(libraries(), MOMENTS, UNDONE_AT)
@example(NOTHING_TO_DO, [14], 1)
@example(NOTHING_TO_DO, [15], 1)
@example(NOTHING_TO_DO, [16], 1)
def test_what_is_planned_and_killed_can_be_taken_back(library: Library, moments: list[int], undone_at: int) -> None:
    killed_and_taken_back(library, moments, undone_at)


@pytest.mark.long
@settings(max_examples=EXAMPLES)
@given(libraries(), MOMENTS, UNDONE_AT)
def test_whatever_is_planned_and_killed_can_be_taken_back(library: Library, moments: list[int], undone_at: int) -> None:
    killed_and_taken_back(library, moments, undone_at)


def killed_and_taken_back(library: Library, moments: list[int], undone_at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = build(library, Path(folder))
        before = tree(root)
        with opened(root) as store:
            plan = plan_all(store, library.keep, library.plan)
        n_kept = {group.kept.path for group in plan.groups if group.kept}
        for moment in [*moments, 10**9]:
            with opened(root) as store, killed_at(moment):
                past = journals(store.layout.folder)
                if past and past[-1].is_open:
                    assert go_on(store).refused == ()
                elif not past:
                    assert carry_out(store, plan).refused == ()
            for path in n_kept:
                assert os.path.exists(path)
        with opened(root) as store:
            begun = journals(store.layout.folder)
        assert not plan.n_files or begun
        if begun:
            with opened(root) as store, killed_at(undone_at):
                take_back(store)
            with opened(root) as store:
                assert take_back(store).failed == ()
        assert tree(root) == before
