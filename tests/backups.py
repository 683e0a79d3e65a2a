"""What the tests of back-ups share: music that is not in a library, and one call that backs it up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen

from dedup.backup.backup import Result, back_up, require_mounted
from dedup.backup.flow import Flow
from dedup.backup.folder import Folder
from dedup.backup.place import Place
from dedup.backup.source import Source
from dedup.backup.take import Keeping, Taken
from dedup.files.standby import Standby
from dedup.gate.decide import Policy
from dedup.gate.gate import Gate
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.settings import CompareSettings, DiscoverSettings, FingerprintSettings, MatchSettings, ScanSettings
from dedup.store.store import Store, make_or_open
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from dedup.upkeep.check import check

SECONDS = 13.0

MakeSource = Callable[[Flow, "Told"], Source]


class Told(Silent):
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.problems: list[tuple[bytes, str]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def problem(self, kind: Any, path: bytes, reason: str) -> None:  # noqa: ARG002
        self.problems.append((path, reason))


def song(path: Path, number: int, format_: str = "flac", **tags: str) -> Path:
    """A made recording; equal numbers give the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(str(path), compose(number, f"song {number}", SECONDS), Encoding(format_, 192_000))
    if tags:
        retag(path, **tags)
    return path


def retag(path: Path, **tags: str) -> None:
    """Gives a file other tags, and no other sound."""
    file = mutagen.File(path, easy=True)
    for name, value in tags.items():
        file[name] = value
    file.save()


@dataclass
class Backup:
    """A store, and a folder that takes files."""

    base: Path
    standby: Standby
    told: Told

    @property
    def to(self) -> Path:
        return self.base / "to"

    @contextmanager
    def store(self) -> Iterator[Store]:
        with make_or_open(self.base / "store", FingerprintSettings(), 4, "test") as store:
            store.catalog.meta.set("compare", {**CompareSettings(varispeed=False).__dict__})
            yield store

    def run(
        self,
        make: MakeSource,
        *,
        limit: int | None = None,
        policy: Policy | None = None,
        stop: Stop | None = None,
        flow: Flow | None = None,
        tell: Callable[[Taken], object] = lambda _: None,
        **manner: bool,
    ) -> tuple[Result, list[Taken]]:
        """Backs up what a source has; gives the result, and each file."""
        found: list[Taken] = []
        stop = stop or Stop()
        flow = flow or Flow(stop)

        def note(taken: Taken) -> None:
            found.append(taken)
            tell(taken)

        by = policy or Policy(varispeed=False)
        with self.store() as store:
            require_mounted(store, os.fsencode(self.to))
        with (
            self.store() as store,
            Place(os.fsencode(self.to)) as place,
            closing(Gate(store, self.standby, MatchSettings(), by, ScanSettings())) as gate,
        ):
            result = back_up(
                gate=gate,
                standby=self.standby,
                source=make(flow, self.told),
                place=place,
                manner=Keeping(**manner),
                tell=note,
                observer=self.told,
                stop=stop,
                limit=limit,
            )
        return result, found

    def require_sound(self) -> None:
        """Checks the store; tiles that nobody has compared yet are no damage."""
        with self.store() as store:
            assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []

    def files(self) -> list[str]:
        """All that is in the folder, hidden things too, by path below it."""
        return sorted(str(path.relative_to(self.to)) for path in self.to.rglob("*") if path.is_file())


def folder(path: Path) -> MakeSource:
    return lambda flow, told: Folder(os.fsencode(path), DiscoverSettings(), flow, told)


def outcomes(found: list[Taken]) -> dict[str, str]:
    """What became of each file, by its name at the source."""
    return {taken.item.shown: taken.outcome for taken in found}
