"""What the cluster and its workers say of trouble is in the log of the run."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

from cluster.logs import LOGGER, MAX_TOLD, open_logs
from cluster.open import open_runner
from dedup.runner import Stop, Task
from jobs.session.log import StoreLog


def run_log(folder: Path) -> list[str]:
    """The lines of the run's log without time and run id, which must be one."""
    lines = [line.split(" ", 2) for line in (folder / "reprise.log").read_text().splitlines()]
    assert len({run for _, run, _ in lines}) == 1
    return [rest for _, _, rest in lines]


def test_warnings_reach_the_run_and_the_rest_stays_apart(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()
    (tmp_path / "workers.log").write_text("an earlier run - WARNING - not of this one\n")
    with StoreLog(tmp_path), open_logs(tmp_path) as worker_log:
        LOGGER.info("nothing to worry about")
        LOGGER.warning("task %s killed its worker", "t1")
        logging.getLogger("distributed.nanny").warning("Restarting worker")
        logging.getLogger("distributed.core").info("Connection closed")
        with open(worker_log, "ab") as file:
            file.write(b"t - distributed.worker - INFO - Start\nt - distributed.worker - ERROR - no \xff memory\n")
            file.write(b"Fatal Python error: Segmentation fault\n  File x\n" + b"x - WARNING - y\n" * MAX_TOLD)
    told = run_log(tmp_path)
    assert told[:4] == [
        "WARNING cluster: task t1 killed its worker",
        "WARNING cluster: Restarting worker",
        "WARNING worker: t - distributed.worker - ERROR - no \\xff memory",
        "WARNING worker: Fatal Python error: Segmentation fault",
    ]
    assert told[-1] == f"WARNING worker: 2 more lines like these are in {tmp_path / 'workers.log'}"
    assert len(told) == 2 + MAX_TOLD + 1
    assert "nothing to worry about" in (tmp_path / "cluster.log").read_text()


def die(code: int) -> None:
    os.kill(os.getpid(), code)


def test_the_death_of_a_real_worker_is_told_once_a_time(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()
    with StoreLog(tmp_path), open_runner(1, Stop(), log_folder=tmp_path) as runner:
        outcomes = list(runner.run(die, [Task("bad file", (int(signal.SIGSEGV),))]))
    assert [outcome.name for outcome in outcomes] == ["bad file"]
    deaths = [line for line in run_log(tmp_path) if line.startswith("WARNING cluster: task ")]
    assert [line.rpartition("bad file ")[2] for line in deaths] == [
        "killed its worker: SIGSEGV (failure 1)",
        "killed its worker: SIGSEGV (failure 2)",
    ]
    assert sum("worker: Fatal Python error: Segmentation fault" in line for line in run_log(tmp_path)) == 2
