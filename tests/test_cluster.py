"""Runs real workers, those of the pool and of local clusters: what a task does to its worker must not reach any other
task, nor the terminal."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cluster.few import FEW
from cluster.folder import PREFIX, open_folder
from cluster.growing import GrowingRunner
from cluster.open import open_runner
from cluster.place import count_cores
from dedup.errors import ClusterError, UsageError
from dedup.runner import InlineRunner, Outcome, Runner, Stop, Task
from tests import cluster_tasks

REPOSITORY = Path(__file__).resolve().parent.parent
HANG_S = 60.0
"""Far more than anything here takes: only against tests that never end."""

FEWS = {"pool": FEW, "cluster": 0}
"""What `open_runner` gets as `few`, by which workers run the tasks."""

LAUNCHER = """
import signal, sys
from cluster.open import open_runner
from dedup.runner import Stop, Task
from tests import cluster_tasks

def main():
    few, folder, on_signal, *hows = sys.argv[1:]
    stop = Stop()
    # a shell that starts the tests in the background has all that they start ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if on_signal != "raise":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.request("signal") if on_signal == "stop" else None)
    def tasks():
        for i, how in enumerate(hows):
            print("drawn", i, flush=True)
            yield Task(str(i), (folder, str(i), how))
    with open_runner(2, stop, few=int(few)) as runner:
        for outcome in runner.run(cluster_tasks.noted, tasks()):
            print("done", outcome.name, outcome.failure, flush=True)
    print("closed", flush=True)

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module", params=FEWS)
def shared_runner(request: pytest.FixtureRequest) -> Iterator[GrowingRunner]:
    # as many tasks as all tests together have, so that these stay on the pool
    with open_runner(2, Stop(), few=100_000 if request.param == "pool" else 0) as runner:
        assert isinstance(runner, GrowingRunner)
        yield runner


@pytest.fixture(params=FEWS)
def few(request: pytest.FixtureRequest) -> int:
    return FEWS[request.param]


def test_what_a_worker_may_take_is_known_before_one_is_started() -> None:
    with open_runner(2, Stop(), memory_limit_bytes=5 << 30) as limited, open_runner(2, Stop()) as shared:
        assert limited.worker_memory_bytes == 5 << 30
        assert shared.worker_memory_bytes is not None
        assert shared.worker_memory_bytes >= 1 << 30
    with open_runner(0, Stop()) as inline:
        assert inline.worker_memory_bytes is None


def noted(folder: Path, **hows: str) -> list[Task]:
    return [Task(name, (str(folder), name, how)) for name, how in hows.items()]


def executions(folder: Path) -> Counter[str]:
    """How often each task was begun."""
    return Counter(path.name.partition(".")[0] for path in folder.iterdir() if "." in path.name)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def by_name(outcomes: Iterator[Outcome]) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in outcomes}


# What it is asked for


def test_workers_out_of_range() -> None:
    for n_workers in (-1, 1025):
        message = f"--workers: {n_workers} is out of range. Use 0 to 1024 workers"
        with pytest.raises(UsageError, match=message), open_runner(n_workers, Stop()):
            pass


def test_no_workers_is_inline_and_none_is_every_core() -> None:
    stop = Stop()
    with open_runner(0, stop) as runner:
        assert isinstance(runner, InlineRunner)
        assert runner.stop is stop
    with open_runner(None, stop) as runner:
        assert isinstance(runner, GrowingRunner)
        assert runner.n_workers == count_cores() >= 1


def test_nothing_starts_without_a_task() -> None:
    program = """
import sys
from cluster.open import open_runner
from dedup.runner import Stop
with open_runner(2, Stop()) as runner:
    handle = runner.share("value", 1)
    assert list(runner.run(abs, [])) == []
    runner.stop.request("test")
    assert list(runner.run(abs, iter([None]))) == []
assert not {"dask", "distributed", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=REPOSITORY, check=True, timeout=HANG_S)


# Results


def test_results_are_those_of_the_inline_runner(runner: Runner) -> None:
    for function, tasks in (
        (cluster_tasks.square, [Task(f"tile-{i}", (i,)) for i in range(40)]),
        (cluster_tasks.fail, [Task("a", ("no audio",)), Task("b", ("",))]),
        (cluster_tasks.echo, [Task("mixed", (None, b"\xff", [1, ("a",)], {"k": {1}}))]),
    ):
        expected = by_name(InlineRunner().run(function, tasks))
        assert by_name(runner.run(function, iter(tasks))) == expected


def test_failures_that_only_processes_have(runner: Runner) -> None:
    assert next(runner.run(cluster_tasks.leave, [Task("exit", ())])).failure == "SystemExit: 3"
    outcome = next(runner.run(cluster_tasks.unpicklable, [Task("lambda", ())]))
    assert outcome.failure is not None
    assert "unpicklable" in outcome.failure  # the rest of the words differ between Pythons


def test_arguments_that_do_not_travel_and_names_that_are_no_text(runner: Runner) -> None:
    tasks = [Task("lock", (threading.Lock(),)), Task("\udcff\n.mp3", ("\udcff",))]
    outcomes = by_name(runner.run(cluster_tasks.echo, tasks))
    assert outcomes["lock"].failure == "TypeError: cannot pickle '_thread.lock' object"
    assert outcomes["\udcff\n.mp3"].result == ("\udcff",)


def test_a_string_equal_to_a_key_stays_a_string(runner: Runner) -> None:
    handle = runner.share("value", "shared")
    keys = [f"{kind}-{serial}-{name}" for kind in ("echo", "share") for serial in range(300) for name in "ab"]
    tasks = [Task("a", (*keys, "a", "share-value", handle)), Task("b", (*keys, "b", keys, handle))]
    assert by_name(runner.run(cluster_tasks.echo, tasks)) == {
        "a": Outcome("a", (*keys, "a", "share-value", "shared")),
        "b": Outcome("b", (*keys, "b", keys, "shared")),
    }


def test_no_more_workers_start_than_have_something_to_do(few: int) -> None:
    before = worker_pids(os.getpid())
    with open_runner(2, Stop(), few=few) as runner:
        assert by_name(runner.run(cluster_tasks.square, [Task("one", (3,))])) == {"one": Outcome("one", 9)}
        assert len(worker_pids(os.getpid()) - before) == 1
        deadline = time.monotonic() + 60
        while len(worker_pids(os.getpid()) - before) < 2 and time.monotonic() < deadline:
            assert len(by_name(runner.run(cluster_tasks.square, [Task(str(i), (i,)) for i in range(20)]))) == 20
        assert len(worker_pids(os.getpid()) - before) == 2


def test_draws_lazily_and_bounds_what_is_in_flight(runner: Runner) -> None:
    n_drawn, n_yielded, most = 0, 0, 0

    def tasks() -> Iterator[Task]:
        nonlocal n_drawn, most
        for i in range(30):
            n_drawn += 1
            most = max(most, n_drawn - n_yielded)
            yield Task(str(i), (i,))

    for _ in runner.run(cluster_tasks.square, tasks()):
        n_yielded += 1
    assert (n_drawn, n_yielded, most) == (30, 30, 2 * runner.n_workers)


def test_workers_compute_in_one_thread_and_the_environment_is_ours_again(runner: Runner) -> None:
    (outcome,) = runner.run(cluster_tasks.environment, [Task("environment", ())])
    for library in ("OMP", "OPENBLAS", "NUMBA"):
        assert outcome.result[f"{library}_NUM_THREADS"] == "1"


def test_nobody_listens_or_all_on_loopback_only(few: int) -> None:
    before = listeners()
    with open_runner(2, Stop(), few=few) as runner:
        assert len(list(runner.run(cluster_tasks.pid, [Task("start", ())]))) == 1
        addresses = {ip for ip, _ in listeners() - before}
    assert addresses == (set() if few else {"127.0.0.1"})


def listeners() -> set[tuple[str, int]]:
    """Addresses and ports at which this process and its children listen."""
    me = psutil.Process()
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    }


# Shared values


def test_who_is_slower_gets_less(runner: Runner) -> None:
    (slow,) = [outcome.result for outcome in runner.run(cluster_tasks.pid, [Task("slow", ())])]
    done = Counter(o.result for o in runner.run(cluster_tasks.uneven, (Task(str(i), (slow,)) for i in range(80))))
    assert len(done) == 2
    assert done[slow] <= 20


@pytest.mark.parametrize("n", [1, 2])
def test_no_more_than_the_limit_are_inside(runner: Runner, tmp_path: Path, n: int) -> None:
    limit = runner.limit(f"a limit of {n}", n)
    inside = [
        o.result for o in runner.run(cluster_tasks.enter, (Task(str(i), (str(tmp_path), limit)) for i in range(8)))
    ]
    assert len(inside) == 8
    assert max(inside) == n


def test_a_shared_value_is_one_handle_a_name_and_dies_with_it(runner: Runner) -> None:
    handle = runner.share("block", 1)
    assert runner.share("block", 1) is handle
    assert runner.share("other", 1) is not handle
    del handle
    gc.collect()
    assert next(runner.run(cluster_tasks.echo, [Task("new", (runner.share("block", 2),))])).result == (2,)


def test_a_shared_value_is_rebuilt_once_and_copied_to_each_worker_once(runner: Runner, tmp_path: Path) -> None:
    handle = runner.share("counted", cluster_tasks.Counted(str(tmp_path), "content"))
    tasks = [Task(str(i), (handle, 0.05)) for i in range(12)]
    results = [outcome.result for outcome in runner.run(cluster_tasks.content_of, tasks)]
    assert {content for content, _ in results} == {"content"}
    assert len({pid for _, pid in results}) == runner.n_workers
    assert max(executions(tmp_path).values()) == 1  # one rebuilt it, the other got a copy: once in each process


def test_a_shared_value_survives_the_worker_that_held_it(runner: Runner, tmp_path: Path) -> None:
    handle = runner.share("counted", cluster_tasks.Counted(str(tmp_path), "content"))
    tasks = [Task(str(i), (str(tmp_path / "crashed"), handle)) for i in range(6)]
    outcomes = by_name(runner.run(cluster_tasks.crash_once, tasks))
    assert outcomes == {str(i): Outcome(str(i), "content") for i in range(6)}
    assert (tmp_path / "crashed").exists()


def test_a_shared_value_survives_every_worker(runner: Runner, tmp_path: Path) -> None:
    handle = runner.share("counted", cluster_tasks.Counted(str(tmp_path), "content"))
    first = [outcome.result for outcome in runner.run(cluster_tasks.content_of, [Task("a", (handle,))])]
    for pid in worker_pids(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    second = [outcome.result for outcome in runner.run(cluster_tasks.content_of, [Task("a", (handle,))])]
    assert [content for content, _ in first + second] == ["content", "content"]
    assert first[0][1] != second[0][1]


def test_a_worker_that_ends_before_it_takes_a_task_is_not_the_doing_of_the_task(tmp_path: Path) -> None:
    with open_runner(2, Stop(), few=FEW) as runner:
        handle = runner.share("counted", cluster_tasks.Counted(str(tmp_path), "content"))
        tasks = [Task(name, (handle,)) for name in "ab"]
        assert len(list(runner.run(cluster_tasks.content_of, tasks))) == 2
        for after_s, pid in enumerate(sorted(worker_pids(os.getpid())), start=1):
            os.kill(pid, signal.SIGSTOP)  # what it gets it cannot take
            threading.Timer(after_s / 2, os.kill, (pid, signal.SIGKILL)).start()
        outcomes = list(runner.run(cluster_tasks.content_of, tasks[:1]))
    assert [outcome.result[0] for outcome in outcomes] == ["content"]


def test_a_shared_value_that_waits_on_a_dying_worker_is_not_to_blame(tmp_path: Path, few: int) -> None:
    with open_runner(1, Stop(), few=few) as runner:
        value = runner.share("counted", cluster_tasks.Counted(str(tmp_path), "content"))
        tasks = [
            Task("poison", (str(tmp_path / "go"), None)),
            Task("innocent1", (str(tmp_path / "go"), value)),
            Task("innocent2", (str(tmp_path / "go"), value)),
        ]
        threading.Timer(0.5, (tmp_path / "go").touch).start()  # by then one innocent waits, and its value
        outcomes = by_name(runner.run(cluster_tasks.crash_or_read, tasks))
    assert outcomes.pop("poison").failure == "killed its worker: SIGKILL (twice)"
    assert outcomes == {name: Outcome(name, "content") for name in ("innocent1", "innocent2")}


def test_a_shared_value_that_kills_workers_fails_its_tasks_only(runner: GrowingRunner) -> None:
    deadly = runner.share("deadly", cluster_tasks.Deadly())
    tasks = [Task("a", (deadly,)), Task("b", (1,)), Task("c", (deadly,)), Task("d", (2,))]
    outcomes = by_name(runner.run(cluster_tasks.echo, tasks))
    failure = "RuntimeError: the shared value deadly killed its worker 3 times"
    if runner.is_few:
        failure = "killed its worker: status 7 (twice)"
    assert outcomes == {
        "a": Outcome("a", failure=failure),
        "b": Outcome("b", (1,)),
        "c": Outcome("c", failure=failure),
        "d": Outcome("d", (2,)),
    }


# Tasks that end their worker


@pytest.mark.long  # half a minute; the short form is test_faults, with one file that ends its worker
def test_a_poison_task_costs_no_other_task_anything(runner: Runner, tmp_path: Path) -> None:
    hows = {f"innocent{i}": "brief" for i in range(20)}
    hows |= {"poison1": "crash", "poison2": "abort"}
    tasks = sorted(noted(tmp_path, **hows), key=lambda task: task.name[-1])
    outcomes = by_name(runner.run(cluster_tasks.noted, tasks))
    assert outcomes.pop("poison1").failure == "killed its worker: SIGKILL (twice)"
    assert outcomes.pop("poison2").failure == "killed its worker: SIGABRT (twice)"
    assert outcomes == {name: Outcome(name, name) for name in hows if name.startswith("innocent")}
    counts = executions(tmp_path)
    assert counts["poison1"] == counts["poison2"] == 2
    # Only a result that had not left a worker yet when that died is computed again.
    assert all(counts[name] in (1, 2, 3) for name in outcomes)


def test_a_task_that_takes_too_much_memory_is_ended(tmp_path: Path, few: int) -> None:
    with open_runner(1, Stop(), few=few, memory_limit_bytes=300 << 20) as runner:
        outcomes = by_name(runner.run(cluster_tasks.noted, noted(tmp_path, greedy="eat", a="brief", b="brief")))
    assert outcomes.pop("greedy").failure == "killed its worker: it took more than 0.3 GiB of memory (twice)"
    assert outcomes == {name: Outcome(name, name) for name in "ab"}


@pytest.mark.parametrize(
    "how", ["sleep", *(pytest.param(how, marks=pytest.mark.long) for how in ("spin", "hold the GIL"))]
)
def test_a_task_that_hangs_is_ended_at_its_time_limit(runner: Runner, tmp_path: Path, how: str) -> None:
    tasks = noted(tmp_path, a="brief", hung=how, b="brief", c="brief", d="brief", e="brief")
    outcomes = by_name(runner.run(cluster_tasks.noted, tasks, time_limit_s=1.0))
    assert outcomes.pop("hung").failure == "took longer than 1 s (twice)"
    assert outcomes == {name: Outcome(name, name) for name in "abcde"}
    assert executions(tmp_path)["hung"] == 2


@pytest.mark.parametrize("n_bytes", [0, pytest.param(5 << 20, marks=pytest.mark.long)])
def test_a_worker_that_is_stopped_is_replaced(few: int, n_bytes: int) -> None:
    """Also one that is stopped in the middle of a message, which is longer than what a socket holds."""
    with open_runner(1, Stop(), few=few, worker_timeout_s=1.0) as runner:
        outcomes = runner.run(cluster_tasks.pid, [Task(str(i), (bytes(n_bytes),)) for i in range(4)])
        first = next(outcomes)
        os.kill(first.result, signal.SIGSTOP)
        rest = list(outcomes)
    assert len(rest) == 3
    assert all(outcome.failure is None for outcome in rest)
    assert {outcome.result for outcome in rest} != {first.result}


def test_a_suspect_that_succeeds_alone_has_its_result(runner: Runner, tmp_path: Path) -> None:
    outcomes = list(runner.run(cluster_tasks.crash_once, [Task("once", (str(tmp_path / "crashed"), Content()))]))
    assert outcomes == [Outcome("once", "alone")]


class Content:
    content = "alone"


@pytest.mark.long
def test_a_limit_holds_and_shared_values_are_there_when_the_pool_is_followed_by_a_cluster(tmp_path: Path) -> None:
    with open_runner(2, Stop(), few=5) as runner:
        assert isinstance(runner, GrowingRunner)
        limit, value = runner.limit("one", 1), runner.share("value", "shared")
        tasks = (Task(str(i), (str(tmp_path), limit)) for i in range(12))
        assert [outcome.result for outcome in runner.run(cluster_tasks.enter, tasks)] == [1] * 12
        assert not runner.is_few
        assert next(runner.run(cluster_tasks.echo, [Task("a", (value,))])).result == ("shared",)


def test_what_is_expected_to_be_much_goes_to_a_cluster_at_once_and_little_starts_no_dask() -> None:
    program = """
import sys
from cluster.open import open_runner
from dedup.runner import Stop, Task
from tests import cluster_tasks
with open_runner(2, Stop(), few=5) as runner:
    runner.prepare(5, ["no.such.module", "tests.cluster_tasks"])
    tasks = [Task(str(i), (i,)) for i in range(5)]
    assert sorted(outcome.result for outcome in runner.run(cluster_tasks.square, tasks)) == [0, 1, 4, 9, 16]
    assert not {"dask", "distributed", "numpy"} & set(sys.modules)
    runner.prepare(1)
    assert not runner.is_few
    assert not {"dask", "distributed"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=REPOSITORY, check=True, timeout=HANG_S)


def test_workers_that_never_get_ready_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.pool_process.PROGRAM", "raise SystemExit(5)")
    with (
        open_runner(2, Stop()) as runner,
        pytest.raises(ClusterError, match=r"end before they take a task \(status 5\)"),
    ):
        list(runner.run(cluster_tasks.square, [Task("a", (1,))]))


@pytest.mark.long
def test_a_process_that_the_system_does_not_let_end_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cluster.pool_process.END_TIMEOUT_S", 0.1)
    with open_runner(2, Stop(), worker_timeout_s=0.5) as runner:
        outcomes = runner.run(cluster_tasks.noted, noted(tmp_path, stuck="hold the GIL", a="brief", b="brief"))
        assert {next(outcomes).name, next(outcomes).name} == {"a", "b"}
        with monkeypatch.context() as patched:  # as for one that waits for a disk that does not answer
            patched.setattr("subprocess.Popen.kill", lambda _: None)
            failure = next(outcomes).failure
        for pid in worker_pids(os.getpid()):
            os.kill(pid, signal.SIGKILL)
    assert failure == "killed its worker: gave no sign of life (twice)"


# Ends


def test_after_a_stop_only_what_is_in_flight_comes(runner: Runner) -> None:
    drawn = []

    def tasks() -> Iterator[Task]:
        for i in range(100):
            drawn.append(str(i))
            yield Task(str(i), (i,))

    outcomes = []
    for outcome in runner.run(cluster_tasks.square, tasks()):
        outcomes.append(outcome.name)
        if len(outcomes) == 5:
            runner.stop.request("enough")
    assert len(drawn) < 15
    assert sorted(outcomes) == sorted(drawn)


def test_a_consumer_that_leaves_gives_up_what_waits(runner: GrowingRunner, tmp_path: Path) -> None:
    tasks = noted(tmp_path, quick="brief", a="wait", b="wait", c="brief", d="brief", e="brief")
    outcomes = runner.run(cluster_tasks.noted, iter(tasks))
    assert next(outcomes).name == "quick"
    until(lambda: {"a", "b"} <= set(executions(tmp_path)))
    known = {} if runner.is_few else runner._cluster.connection()._cluster.scheduler.tasks  # type: ignore[attr-defined]
    assert runner.is_few or any(key.startswith("noted-") for key in known)
    outcomes.close()  # type: ignore[attr-defined]
    until(lambda: not any(key.startswith("noted-") for key in list(known)))
    (tmp_path / "go").touch()
    assert [o.result for o in runner.run(cluster_tasks.square, [Task("after", (3,))])] == [9]


def test_closing_does_not_wait_for_a_hanging_task_and_leaves_nothing(tmp_path: Path, few: int) -> None:
    kind = "pool_worker" if few else "spawn_main"  # a cluster of other tests may be starting workers
    environment, before = dict(os.environ), worker_pids(os.getpid(), kind)
    with open_runner(2, Stop(), few=few, log_folder=tmp_path / "logs") as runner:
        outcomes = runner.run(cluster_tasks.noted, noted(tmp_path, hung="hold the GIL", other="follow"))
        assert next(outcomes).name == "other"
    assert dict(os.environ) == environment
    assert worker_pids(os.getpid(), kind) == before
    assert ("started worker" if few else "Start Nanny") in (tmp_path / "logs" / "cluster.log").read_text()
    assert few or "Start worker" in (tmp_path / "logs" / "workers.log").read_text()


@pytest.mark.long
def test_losing_all_workers_for_long_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cluster.runner.NO_WORKERS_TIMEOUT_S", 0.5)
    with open_runner(1, Stop(), few=0) as runner:
        assert isinstance(runner, GrowingRunner)
        outcomes = runner.run(cluster_tasks.noted, noted(tmp_path, quick="brief", a="wait"))
        assert next(outcomes).name == "quick"
        runner._cluster.connection()._cluster.scale(0)  # type: ignore[attr-defined]
        with pytest.raises(ClusterError, match=r"none came back for 0\.5 s"):
            next(outcomes)


def test_folders_of_dead_launchers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, beginning = tmp_path / f"{PREFIX}dead", tmp_path / f"{PREFIX}beginning"
    for folder in (dead, beginning):
        folder.mkdir()
    (dead / "lock").touch()
    with open_folder() as first, open_folder() as second:
        assert not dead.exists()
        assert beginning.exists()
        assert Path(first).exists() and Path(second).exists()
    assert os.listdir(tmp_path) == [beginning.name]


def test_closing_while_a_worker_restarts(few: int) -> None:
    before = worker_pids(os.getpid())
    with open_runner(2, Stop(), few=few) as runner:
        list(runner.run(cluster_tasks.square, [Task("start", (1,))]))
        for pid in worker_pids(os.getpid()) - before:
            os.kill(pid, signal.SIGKILL)
        if few:
            next(runner.run(cluster_tasks.square, [Task("again", (1,))]))
        until(lambda: len(worker_pids(os.getpid()) - before) > 0)
    assert worker_pids(os.getpid()) == before


# Signals, in a launcher of its own


def worker_pids(launcher_pid: int, *kinds: str) -> set[int]:
    """Worker processes of a launcher (its other child is the tracker of multiprocessing), all or those of one kind."""
    found = set()
    for child in psutil.Process(launcher_pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # ZombieProcess is one
            if any(kind in part for part in child.cmdline() for kind in kinds or ("spawn_main", "pool_worker")):
                found.add(child.pid)
    return found


@contextlib.contextmanager
def launched(few: int, folder: Path, on_signal: str, *hows: str) -> Iterator[subprocess.Popen[str]]:
    script = folder / "launcher.py"
    script.write_text(LAUNCHER)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-W", "error", str(script), str(few), str(folder), on_signal, *hows]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_to_the_whole_group_lets_tasks_finish(tmp_path: Path, number: signal.Signals, few: int) -> None:
    with launched(few, tmp_path, "stop", *["wait"] * 20) as process:
        until(lambda: len(executions(tmp_path).keys() - {"launcher"}) == 2)
        os.killpg(process.pid, number)
        (tmp_path / "go").touch()
        stdout, stderr = process.communicate(timeout=HANG_S)
    lines = stdout.splitlines()
    assert stderr == ""
    assert process.returncode == 0
    assert [line for line in lines if line.startswith("drawn")] == [f"drawn {i}" for i in range(4)]
    assert sorted(line for line in lines if line.startswith("done")) == [f"done {i} None" for i in range(4)]
    assert lines[-1] == "closed"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []


@pytest.mark.long
def test_signals_reach_no_worker_that_is_just_starting(tmp_path: Path, few: int) -> None:
    with launched(few, tmp_path, "ignore", *["wait"] * 6) as process:
        until(lambda: len(executions(tmp_path).keys() - {"launcher"}) == 2)
        os.kill(min(worker_pids(process.pid)), signal.SIGKILL)
        for _ in range(20):
            os.killpg(process.pid, signal.SIGINT)
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(0.05)
        (tmp_path / "go").touch()
        stdout, stderr = process.communicate(timeout=HANG_S)
    assert stderr == ""
    done = sorted(line for line in stdout.splitlines() if line.startswith("done"))
    assert done == [f"done {i} None" for i in range(6)]


def test_no_worker_survives_a_killed_launcher(tmp_path: Path, few: int) -> None:
    with launched(few, tmp_path, "stop", "hold the GIL", "sleep") as process:
        until(lambda: len(executions(tmp_path).keys() - {"launcher"}) == 2)
        workers = worker_pids(process.pid)
        assert len(workers) == 2
        process.kill()
        until(lambda: not any(map(is_running, workers)))


def is_group_alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("delay_s", [0.7, *(pytest.param(s, marks=pytest.mark.long) for s in (0.02, 0.1, 0.3))])
def test_an_interrupt_during_the_start_leaves_no_process(tmp_path: Path, delay_s: float, few: int) -> None:
    with launched(few, tmp_path, "raise", "sleep") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "drawn 0\n"
        time.sleep(delay_s)  # somewhere on the way of the cluster to its first task: any place must do
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=HANG_S)
        assert stderr.strip().splitlines()[-1] == "KeyboardInterrupt"
        assert process.returncode == -signal.SIGINT
        until(lambda: not is_group_alive(process.pid))
