"""`identify` in a test: against services on this machine, with a time that passes only while somebody waits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from dedup.lookup.identify import Identified, Way, identify
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.settings import LookupSettings
from dedup.store.store import Store
from tests.lookup_service import KEY, Services


class Clock:
    """A time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.waited: list[float] = []

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.waited.append(seconds)
        self.time += seconds


def settings_for(services: Services, key: str | None = KEY, days: float = 30.0) -> LookupSettings:
    return LookupSettings(
        acoustid_key=key,
        ask_again_days=days,
        acoustid_url=f"{services.url}/v2",
        musicbrainz_url=f"{services.url}/ws/2",
    )


@dataclass
class Found:
    """What a run gave."""

    files: list[Identified]
    n_asked: int
    n_left: int
    n_silent: int


def run(store: Store, services: Services, clock: Clock, *paths: bytes, stop: Stop | None = None, **how: Any) -> Found:
    way = Way(how.pop("settings", settings_for(services)), store.layout.folder.parent / "rates", clock.now, clock.wait)
    files: list[Identified] = []
    stop = stop or Stop()
    got = identify(store=store, paths=paths, way=way, tell=files.extend, observer=Silent(), stop=stop, **how)
    assert got.counts == Counter(each.verdict for each in files)
    return Found(files, got.n_asked, got.n_left, got.n_silent)
