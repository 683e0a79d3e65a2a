"""A process that is begun while another thread reads tags within limits has no such limit."""

from __future__ import annotations

import resource
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dedup.files.bounded import bounded_memory
from dedup.playback import work as decoding
from dedup.playback.task import File, Task
from jobs.serve import work as runs


@pytest.fixture
def reading() -> Iterator[None]:
    """Another thread reads tags again and again, as when all groups are accepted."""
    is_over, has_begun = threading.Event(), threading.Event()

    def read() -> None:
        while not is_over.is_set():
            with bounded_memory():
                has_begun.set()
                is_over.wait(0.2)
            is_over.wait(0.01)

    thread = threading.Thread(target=read)
    thread.start()
    assert has_begun.wait(10)
    yield
    is_over.set()
    thread.join()


class Watched(subprocess.Popen[Any]):
    """Remembers the limit of memory that each process has."""

    limits: list[int]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.limits.append(resource.prlimit(self.pid, resource.RLIMIT_AS)[0])


@pytest.mark.long
@pytest.mark.usefixtures("reading")
def test_neither_a_decoder_nor_a_run_has_the_limit_of_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Watched.limits = []
    monkeypatch.setattr(subprocess, "Popen", Watched)
    for number in range(3):
        decoding.Work(Task((File(b"/x", 1, 1),)), tmp_path / str(number), 10.0).run()
    work = runs.Work(tmp_path)
    for _ in range(3):
        work._started("undo", []).wait(10)
    assert len(Watched.limits) == 6
    assert set(Watched.limits) == {resource.RLIM_INFINITY}
