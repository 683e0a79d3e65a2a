"""Workers on other hosts: real schedulers, real worker processes, real TLS and SSH, on loopback addresses; and with
`--all` three hosts that are network namespaces."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.open import open_remote_runner
from cluster.place import Place
from cluster.preflight import Terms
from dedup.errors import ClusterError, PreflightError
from dedup.files.host_paths import HostPath, MappedFolder, of_host, path_here
from dedup.runner import Outcome, Stop, Task
from dedup.versions import versions
from scripts.torture.hosts import Course, prepared, run_course
from scripts.torture.network import Loopback, Network, end, open_hosts, until
from scripts.torture.ports import attack
from tests import cluster_tasks
from tests.audio_files import write_tone

ROOT = Path(__file__).resolve().parent.parent
TERMS = Terms(versions())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A scheduler with TLS and a host with one worker."""
    with contextlib.ExitStack() as stack:
        tasks = {"PYTHONPATH": str(ROOT)}
        started = Network(Loopback("a test"), tmp_path_factory.mktemp("network"), stack, tasks)
        started.start_scheduler()
        started.start_workers("b")
        until(lambda: "connected" in started.said("worker-b"), "host b")
        yield started


def place(network: Network) -> Place:
    return Place(network.address, keys=network.keys("a"))


def noted(folder: Path, **hows: str) -> list[Task]:
    return [Task(name, (str(folder), name, how)) for name, how in hows.items()]


def begun(folder: Path) -> Counter[str]:
    return Counter(path.name.partition(".")[0] for path in folder.iterdir() if "." in path.name)


def test_a_poison_task_has_two_tries_and_costs_no_other_anything(network: Network, tmp_path: Path) -> None:
    hows = {f"innocent{i}": "brief" for i in range(8)} | {"poison": "crash"}
    with open_remote_runner(place(network), TERMS, Stop()) as runner:
        tasks = sorted(noted(tmp_path, **hows), key=lambda task: task.name[-1])
        outcomes = {outcome.name: outcome for outcome in runner.run(cluster_tasks.noted, tasks)}
        assert runner.n_workers == 1
        assert (runner.worker_memory_bytes or 0) >= 1 << 30
    assert outcomes.pop("poison").failure == "killed its worker: SIGKILL (twice)"
    assert outcomes == {name: Outcome(name, name) for name in hows if name != "poison"}
    assert begun(tmp_path)["poison"] == 2


@pytest.mark.long
def test_a_host_that_joins_takes_over_from_one_that_is_gone(network: Network, tmp_path: Path) -> None:
    """The first host vanishes with all its processes, so that nobody tells what became of its tasks."""
    with open_remote_runner(place(network), TERMS, Stop()) as runner:
        second = network.start_workers("c")
        until(lambda: "connected" in network.said("worker-c"), "host c")

        def vanish() -> None:
            until(lambda: {"a", "b"} <= set(begun(tmp_path)), "a task on each host")
            end(second)
            (tmp_path / "go").touch()

        threading.Thread(target=vanish).start()
        tasks = noted(tmp_path, a="wait", b="wait", c="brief", d="brief")
        outcomes = list(runner.run(cluster_tasks.noted, tasks))
    assert sorted((o.name, o.failure) for o in outcomes) == [(name, None) for name in "abcd"]
    assert sorted(begun(tmp_path).values()) >= [1, 1, 1, 2]


def test_a_scheduler_serves_one_run_at_a_time_and_is_free_when_its_launcher_is_dead(
    network: Network, tmp_path: Path
) -> None:
    terms = "Terms(versions(), (sys.argv[3].encode(),))"
    program = f"""
import sys, time
from scripts.torture.ports import attack
from tests import cluster_tasks
from cluster.place import Place
from cluster.open import open_remote_runner
from cluster.preflight import Terms
from dedup.runner import Stop, Task
from dedup.versions import versions
if __name__ == "__main__":
    with open_remote_runner(Place(sys.argv[1], keys=sys.argv[2]), {terms}, Stop()) as runner:
        print(list(runner.run(cluster_tasks.square, [Task("3", (3,))])), flush=True)
        time.sleep(60)
"""
    root = tmp_path / "music"
    root.mkdir()
    (root / "a.mp3").touch()
    command = [sys.executable, "-c", program, network.address, network.keys("a"), str(root)]
    own = os.environ | {"PYTHONPATH": str(ROOT)}
    other = subprocess.Popen(command, stdout=subprocess.PIPE, env=own)
    assert other.stdout is not None
    assert b"result=9" in other.stdout.readline()
    message = f"serves another run: process {other.pid} of"
    with pytest.raises(ClusterError, match=message), open_remote_runner(place(network), TERMS, Stop()) as runner:
        list(runner.run(cluster_tasks.square, [Task("1", (1,))]))
    other.kill()
    other.wait()
    other.stdout.close()
    shutil.rmtree(root)  # the terms of the dead hold nobody
    with open_remote_runner(place(network), TERMS, Stop()) as runner:
        assert [o.result for o in runner.run(cluster_tasks.square, [Task("2", (2,))])] == [4]


@pytest.mark.long
def test_who_waits_for_a_turn_does_not_hang(network: Network, tmp_path: Path) -> None:
    with open_remote_runner(place(network), TERMS, Stop()) as runner:
        limit = runner.limit("slow", 1)
        second = network.start_workers("c")
        until(lambda: runner.n_workers == 2, "host c")
        tasks = [Task(str(i), (str(tmp_path), limit, 0.8)) for i in range(4)]
        outcomes = list(runner.run(cluster_tasks.enter, tasks, time_limit_s=1.2))
        end(second)
    assert [(outcome.failure, outcome.result) for outcome in outcomes] == [(None, 1)] * 4


def test_all_that_is_wrong_is_told_at_once(network: Network, tmp_path: Path) -> None:
    terms = Terms(versions() | {"numpy": "0.1", "av": "9"}, (os.fsencode(tmp_path / "gone"), b"/"))
    message = "1 of 1 hosts cannot take part, for 3 reasons"
    with (
        pytest.raises(PreflightError, match=message) as raised,
        open_remote_runner(place(network), terms, Stop()) as runner,
    ):
        list(runner.run(cluster_tasks.square, [Task("1", (1,))]))
    host = os.uname().nodename
    own = versions()
    assert raised.value.problems == [
        (host, f"av {own['av']}, here 9"),
        (host, f"numpy {own['numpy']}, here 0.1"),
        (host, f"{tmp_path}/gone cannot be read: No such file or directory; give its path on that host with --map"),
    ]


@pytest.mark.long
def test_a_worker_that_joins_late_is_held_to_the_terms(network: Network, tmp_path: Path) -> None:
    """A folder that only the first host can read: the second comes when it is gone."""
    root = tmp_path / "music"
    root.mkdir()
    (root / "a.mp3").touch()
    terms = replace(TERMS, roots=(os.fsencode(root),))
    with open_remote_runner(place(network), terms, Stop()) as runner:
        assert [o.result for o in runner.run(cluster_tasks.square, [Task("3", (3,))])] == [9]
        (root / "a.mp3").unlink()
        late = network.start_workers("a")
        until(lambda: "music is empty: is its disk mounted there?" in network.said("worker-a"), "the refusal")
        tasks = [Task(str(i), ()) for i in range(8)]
        assert len({outcome.result for outcome in runner.run(cluster_tasks.pid, tasks)}) == 1
        end(late)


def test_who_has_no_certificate_gets_nothing(network: Network) -> None:
    from distributed import Client, Security

    keys = Path(network.keys("c"))
    stranger = Security(tls_ca_file=str(keys / "ca.pem"), require_encryption=True)
    with pytest.raises((OSError, TimeoutError, TypeError)):
        Client(network.address, security=stranger, timeout=3, set_as_default=False)


@pytest.mark.long
def test_a_worker_answers_nobody_else_wherever_its_keys_come_from(network: Network) -> None:
    """Property: each port of a worker and of its parent asks for a certificate, also if Dask's own settings name the
    keys and leave open whether encryption is required."""
    keys = Path(network.keys("c"))
    settings = {"CA_FILE": "ca.pem"} | {f"{role}__CERT": "cert.pem" for role in ("CLIENT", "WORKER")}
    settings |= {f"{role}__KEY": "key.pem" for role in ("CLIENT", "WORKER")}
    environment = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(keys / file) for name, file in settings.items()}
    command = ("-m", "jobs", "worker", network.address, "--workers", "1", "--log-folder", str(network.folder / "log"))
    started = network._start("c", "worker-dask", command, environment)
    until(lambda: "connected" in network.said("worker-dask"), "the worker")
    attempts = attack(started.pid, [network.folder / "log"])
    assert [attempt for attempt in attempts if not attempt.held] == []
    ports = {attempt.where.rpartition(":")[2] for attempt in attempts if attempt.where.startswith("tcp")}
    assert len(ports) == 2  # the worker's and its parent's, the latter at several addresses
    end(started)


@pytest.mark.long
def test_a_scan_reads_where_the_host_has_the_music(network: Network, tmp_path: Path) -> None:
    """The launcher's path is a link away from the host's; limits of readers hold on other hosts too."""
    there, here, store = tmp_path / "there", tmp_path / "here", tmp_path / "store"
    there.mkdir()
    for number in range(3):
        write_tone(there / f"{number}.mp3", 15.0 + number)
    here.symlink_to(there)
    local = reprise("scan", str(there), "--store", str(tmp_path / "local"), "--workers", "0")
    remote = ("--scheduler", network.address, "--tls", network.keys("a"), "--reads-per-disk", "1")
    mapped = reprise("scan", str(here), "--store", str(store), *remote, "--map", f"{there}={here}")
    assert (local.returncode, mapped.returncode) == (0, 0), mapped.stderr
    assert fingerprints(tmp_path / "local") == fingerprints(store)
    assert len(fingerprints(store)) == 3


def test_a_worker_gets_the_paths_of_its_host(network: Network) -> None:
    """As long as the run lasts: the next one has its own terms."""
    one, two = HostPath(b"/here/one"), HostPath(b"/elsewhere/two")
    arguments = (one, [(one, 1), (two, 2)], b"/here/one", "/here/one", {"of the launcher": one})
    terms = replace(TERMS, maps=(MappedFolder(b"/there", b"/here"),))
    with open_remote_runner(place(network), terms, Stop()) as runner:
        (mapped,) = runner.run(cluster_tasks.echo, [Task("1", arguments)])
    moved = HostPath(b"/here/one", b"/there/one")
    assert mapped.result == (moved, [(moved, 1), (two, 2)], *arguments[2:])
    assert (moved.here, two.here) == (b"/there/one", b"/elsewhere/two")
    with open_remote_runner(place(network), TERMS, Stop()) as runner:
        (plain,) = runner.run(cluster_tasks.echo, [Task("1", arguments)])
    assert plain.result == arguments


def fingerprints(folder: Path) -> list[tuple[bytes, int]]:
    with contextlib.closing(sqlite3.connect(folder / "catalog.db")) as connection:
        return connection.execute("SELECT digest, n_items FROM fingerprint ORDER BY digest").fetchall()


def reprise(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment
    )


@pytest.mark.long
def test_hosts_are_started_over_ssh_and_end_with_the_run(tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    write_tone(music / "a.mp3", 15.0)
    home = tmp_path / "home"
    home.mkdir()
    with open(home / "log", "wb") as log:
        command = [sys.executable, str(Path(__file__).parent / "ssh_server.py"), str(home)]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until((home / "ready").exists, "the SSH server")
        how = (
            "--hosts",
            f"{getpass.getuser()}@node1,node2,nowhere.invalid",
            "--workers",
            "1",
            "--store",
            str(tmp_path / "store"),
        )
        refused = reprise("scan", str(music), *how, HOME=str(home))
        assert refused.returncode == 17
        assert "--hosts: no TLS" in refused.stderr
        done = reprise("scan", str(music), *how, "--insecure", HOME=str(home))
        assert done.returncode == 0, done.stderr + (home / "log").read_text()
        assert "1 fingerprinted" in done.stdout
        assert "no TLS" in done.stderr
        assert "host nowhere.invalid cannot be started" in done.stderr
        until(lambda: not children(server.pid), "the end of both hosts")
    finally:
        server.kill()
        server.wait()


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.mark.long
def test_a_scheduler_that_dies_ends_the_run_in_one_line(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        network = Network(Loopback("a test"), tmp_path, stack, {"PYTHONPATH": str(ROOT)})
        scheduler = network.start_scheduler()
        network.start_workers("b")
        until(lambda: "connected" in network.said("worker-b"), "host b")
        with open_remote_runner(place(network), TERMS, Stop()) as runner:
            outcomes = runner.run(cluster_tasks.noted, noted(tmp_path, a="brief", b="wait", c="wait"))
            assert next(outcomes).name == "a"
            end(scheduler)
            began = time.monotonic()
            with pytest.raises(ClusterError, match="the next run goes on where this one stopped"):
                list(outcomes)
            assert time.monotonic() - began < 30
        (tmp_path / "go").touch()  # else host b would wait for its task
        until(lambda: "joins again as soon as it is back" in network.said("worker-b"), "host b to notice")


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("nowhere", "not a file or an address"),
        ("tcp://127.0.0.1:1", "cannot connect"),
        (__file__, "not a scheduler file"),
        ("tls://127.0.0.1:1", "no keys for TLS"),
    ],
)
def test_a_scheduler_that_is_not_there(scheduler: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.remote.START_TIMEOUT_S", 1.0)
    there = Place(scheduler, insecure=True)
    with pytest.raises(ClusterError, match=message), open_remote_runner(there, TERMS, Stop()) as runner:
        list(runner.run(cluster_tasks.square, [Task("1", (1,))]))


@pytest.mark.parametrize("command", [("worker", "tcp://127.0.0.1:1"), ("scan", "--scheduler", "127.0.0.1:1")])
def test_without_tls_a_command_ends_in_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Before it connects, compiles or reads anything."""
    store = () if command[0] == "worker" else (str(tmp_path), "--store", str(tmp_path / "store"))
    done = reprise(*command, *store)
    assert done.returncode == 17
    (line,) = done.stderr.splitlines()
    assert line.startswith("reprise: tcp://127.0.0.1:1: no TLS: ")
    assert line.endswith("or accept the risk with --insecure")


def test_maps_of_one_host_come_first() -> None:
    table = (MappedFolder(b"/all", b"/m"), MappedFolder(b"/deep", b"/m/x"), MappedFolder(b"/own/", b"/m", "nas"))
    assert path_here(b"/m/x/y", of_host(table, {"tower"})) == b"/deep/y"
    assert path_here(b"/m/x/y", of_host(table, {"nas", "10.0.0.2"})) == b"/own/x/y"
    assert path_here(b"/m", of_host(table, {"tower"})) == b"/all/"
    assert path_here(b"/mm/x", of_host(table, {"tower"})) == b"/mm/x"


@pytest.mark.long
def test_three_hosts_give_the_bytes_of_one_machine(tmp_path: Path) -> None:
    course = Course()
    with contextlib.ExitStack() as stack:
        truth = prepared(tmp_path)
        hosts = open_hosts(stack)
        course.note(hosts.what)
        run_course(hosts, tmp_path, truth, course, stack)
    assert course.differences == []
