"""The process that decodes one sound into its folder. It reads a task, one line of JSON, and answers by lines: how many
segments there are, then "done" or what is wrong. It ends with whoever started it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.errors import is_refusal, refusal
from dedup.files.bounded import bounded_memory, is_too_much
from dedup.playback.decode import Decoding, UnplayableError
from dedup.playback.folder import Writer
from dedup.playback.task import Task, task_of

if TYPE_CHECKING:
    from dedup.playback.differing import Differing

CHANGED = "the file has changed since the last scan"


def make(task: Task, folder: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    """Makes the sound of a task; tells of each new segment, and at the end that it is done or what is wrong."""
    import av  # noqa: F401  # the libraries themselves count for nobody

    try:
        with bounded_memory(task.most_memory):
            problem = _make(task, folder, tell)
    except UnplayableError as error:
        problem = str(error)
    except OSError as error:
        problem = refusal(error) if is_refusal(error) else f"the file cannot be read: {error.strerror}"
    except Exception as error:  # a broken file can make PyAV raise anything: it costs one line
        problem = f"it cannot be decoded: {type(error).__name__}: {error}"
        if is_too_much(error):
            problem = "decoding it takes too much memory"
    tell({"problem": problem} if problem else {"done": True})


def _make(task: Task, folder: Path, tell: Callable[[dict[str, Any]], None]) -> str:
    if not all(file.is_as_known() for file in task.files):
        return CHANGED
    source = _source(task)
    writer = Writer(folder)
    for samples in source.samples():
        if writer.write(samples):
            tell({"segments": writer.n_segments})
    if not all(file.is_as_known() for file in task.files):
        return CHANGED
    writer.finish(source.damage, source.details)
    return ""


def _source(task: Task) -> Decoding | Differing:
    if len(task.files) == 1:
        return Decoding(task.files[0].path)
    from dedup.playback.differing import Differing  # a tenth of a second that a first sound does not need

    return Differing(task)


def main() -> None:
    """Makes the sound of the task in the first line of stdin, and ends when stdin does."""
    folder = Path(sys.argv[1])
    task = task_of(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")

    make(task, folder, tell)


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
