"""One sound being decoded, in a process of its own: a hostile file ends that process and nothing else."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from pathlib import Path

from dedup.files.process import start_python
from dedup.playback.task import Task

_WORKER = "from dedup.playback.worker import main; main()"
_LONGEST_LINE = 1 << 16
CRASHED = "its decoder crashed"


class Work:
    """A decoding. `run` does it, in any thread; the rest may be asked in others."""

    def __init__(self, task: Task, folder: Path, time_limit_s: float) -> None:
        self.changed = threading.Condition()
        """Notified when there is a new segment, and when it is over."""
        self.n_segments = 0
        """Segments that are ready."""
        self.is_over = False
        self.problem = ""
        """Why there is no sound, once it is over; empty if all went well."""
        self.folder = folder
        self._task, self._time_limit_s = task, time_limit_s
        self._process: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Decodes all. Raises nothing."""
        problem = "its decoder could not be started"
        try:
            problem = self._run()
        except BrokenPipeError:  # it ended before it read what to do
            problem = CRASHED
        except OSError as error:
            problem = f"its decoder could not be started: {error.strerror}"
        finally:
            with self.changed:
                self.problem, self.is_over = problem, True
                self.changed.notify_all()

    def stop(self) -> None:
        """Ends it at once."""
        self._stopped.set()
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()

    def wait(self, n_segments: int, timeout_s: float) -> bool:
        """Waits until there are so many segments, or it is over; False after `timeout_s`."""
        with self.changed:
            return self.changed.wait_for(lambda: self.is_over or self.n_segments >= n_segments, timeout_s)

    def _run(self) -> str:
        if self._stopped.is_set():
            return "it was stopped"
        process = self._process = start_python(
            _WORKER,
            str(self.folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="surrogateescape",
        )
        assert process.stdin is not None and process.stdout is not None
        has_run_out = threading.Event()

        def end() -> None:
            has_run_out.set()
            process.kill()

        timer = threading.Timer(self._time_limit_s, end)
        timer.daemon = True
        timer.start()
        try:
            with process.stdin, process.stdout:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(self._task.to_json() + "\n")
                    process.stdin.flush()
                problem = self._answers(process)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        if self._stopped.is_set():
            return "it was stopped"
        if has_run_out.is_set():
            return f"decoding it took longer than {self._time_limit_s:g} s"
        return problem

    def _answers(self, process: subprocess.Popen[str]) -> str:
        """Follows the lines of the process to the last; its problem, empty if there is none."""
        assert process.stdout is not None
        while line := process.stdout.readline(_LONGEST_LINE):
            try:
                answer = json.loads(line)
            except ValueError:
                break
            if "segments" in answer:
                with self.changed:
                    self.n_segments = answer["segments"]
                    self.changed.notify_all()
            else:
                return str(answer.get("problem", ""))
        return CRASHED
