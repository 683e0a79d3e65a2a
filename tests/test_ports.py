"""Ports of a local cluster: another user of the machine tries each of them, with real connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.logs import MAX_STRANGERS
from scripts.torture.network import TIMEOUT_S, end, until
from scripts.torture.ports import RAN, Port, attack, attack_run, listening, send_attacker, tree

if TYPE_CHECKING:
    from distributed import Security

ROOT = Path(__file__).resolve().parent.parent

LAUNCHER = """
import sys
from pathlib import Path
from cluster.open import open_runner
from dedup.runner import Stop, Task
from tests import cluster_tasks

if __name__ == "__main__":
    with open_runner(2, Stop(), log_folder=Path(sys.argv[2]), few=0) as runner:
        tasks = [Task(name, (sys.argv[1], name, "wait")) for name in "ab"]
        print([outcome.result for outcome in runner.run(cluster_tasks.noted, tasks)], flush=True)
"""


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A launcher whose two workers are busy until there is a file `go` in `folder / "tasks"`."""
    for name in ("tasks", "logs", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    command = [sys.executable, "-c", LAUNCHER, str(folder / "tasks"), str(folder / "logs")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    try:
        until(lambda: run.poll() is not None or len(list((folder / "tasks").iterdir())) == 2, "both tasks")
        yield run
    finally:
        end(run)
        if run.stdout is not None:
            run.stdout.close()


def test_no_port_of_a_run_answers_anyone_else(tmp_path: Path) -> None:
    with at_work(tmp_path) as run:
        ports = listening(tree(run.pid))
        assert {(port.kind, port.host) for port in ports} == {("tcp", "127.0.0.1")}
        attempts = attack(run.pid, [tmp_path / "logs", tmp_path / "tmp"])
        assert [attempt for attempt in attempts if not attempt.held] == []
        assert len([attempt for attempt in attempts if attempt.where.startswith("tcp")]) == 15 * len(ports)
        assert len(ports) == 5  # the scheduler's, and for each of two workers its parent's and its own
        (tmp_path / "tasks" / "go").touch()
        assert run.stdout is not None
        assert sorted(run.stdout.readline()) == sorted("['a', 'b']\n")  # the attacks cost it nothing


def test_a_temporary_folder_that_another_user_made_is_not_used(tmp_path: Path) -> None:
    """Property: what others left in the system's temporary folder leads to none of our files, and no code comes from
    there. Dask would load modules from its `dask-scratch-space`, and truncate what `global.lock` leads to."""
    victim, trap = tmp_path / "music", tmp_path / "tmp" / "dask-scratch-space"
    (victim / "work").mkdir(parents=True)
    for name in ("lock", "a.flac", "work/b.flac"):
        (victim / name).write_text("mine")
    trap.mkdir(parents=True)
    trap.chmod(0o777)
    (trap / "global.lock").symlink_to(victim / "a.flac")
    (tmp_path / "tmp" / "reprise-cluster-trap").symlink_to(victim)
    with at_work(tmp_path) as run:
        used = {path.name: path.lstat().st_mode & 0o777 for path in (tmp_path / "tmp").iterdir() if path.is_dir()}
        assert {path.name for path in trap.iterdir()} == {"global.lock"}
        assert [mode for name, mode in used.items() if name not in (trap.name, "reprise-cluster-trap")] == [0o700]
        (tmp_path / "tasks" / "go").touch()
        assert run.wait(TIMEOUT_S) == 0
    assert {path.read_text() for path in victim.rglob("*") if path.is_file()} == {"mine"}
    assert (victim / "work" / "b.flac").exists()


def test_strangers_fill_no_log(tmp_path: Path) -> None:
    """Property: what is written about refused connections is bounded, and the first ones are there to be seen."""
    with at_work(tmp_path) as run:
        for port in listening(tree(run.pid)):
            for _ in range(3 * MAX_STRANGERS):
                with (
                    contextlib.suppress(ConnectionError),
                    socket.create_connection((port.host, port.number)) as stranger,
                ):
                    stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    stranger.recv(100)
        (tmp_path / "tasks" / "go").touch()
        assert run.wait(TIMEOUT_S) == 0
    for name, n_processes in (("cluster.log", 1), ("workers.log", 2)):
        lines = (tmp_path / "logs" / name).read_text().splitlines()
        refusals = [line for line in lines if "handshake failed" in line]
        assert 0 < len(refusals) <= n_processes * MAX_STRANGERS
        assert len([line for line in refusals if line.endswith("further ones are not logged")]) == n_processes


@pytest.mark.long
def test_an_attack_that_is_not_held_is_seen() -> None:
    """Property: the attacks find a server without TLS, and one that asks its clients for no certificate."""
    from distributed.core import Server

    from cluster.run_keys import make_run_keys

    async def answered(address: str, **arguments: object) -> set[str]:
        async with Server({"run": run}) as server:
            await server.listen(address, **arguments)
            host, _, number = server.address.rpartition("://")[2].rpartition(":")
            attempts = await asyncio.to_thread(send_attacker, [Port(os.getpid(), "tcp", host, int(number))])
            return {attempt.tried for attempt in attempts if not attempt.held}

    def run(function: bytes, args: bytes, wait: bool) -> None:
        assert wait
        pickle.loads(function)(*pickle.loads(args))

    lenient = make_run_keys().get_listen_args("worker")
    lenient["ssl_context"].verify_mode = ssl.CERT_NONE
    plain = {"TCP, only listening", "HTTP over TCP", "Dask's identity over TCP", "Dask's run over TCP", RAN}
    assert plain <= asyncio.run(answered("tcp://127.0.0.1"))
    found = asyncio.run(answered("tls://127.0.0.1", **lenient))
    ways = ("without a certificate", "with the keys of another run")
    assert {f"Dask's {op} over TLS {way}" for op in ("identity", "run") for way in ways} | {RAN} <= found
    assert not plain - {RAN} & found


def test_no_server_with_other_keys_is_believed() -> None:
    """Whoever takes the port of a process that has ended gets no connection of ours."""
    from distributed.comm import connect
    from distributed.core import Server

    from cluster.run_keys import make_run_keys

    async def answer(server_keys: Security, keys: Security) -> Any:
        async with Server({}) as server:
            await server.listen("tls://127.0.0.1", **server_keys.get_listen_args("worker"))
            comm = await connect(server.address, timeout=5, **keys.get_connection_args("worker"))
            try:
                await comm.write({"op": "identity", "reply": True})
                return await comm.read()
            finally:
                comm.abort()

    own, foreign = make_run_keys(), make_run_keys()
    assert asyncio.run(answer(own, own))["type"] == "Server"
    with pytest.raises(OSError, match="certificate"):
        asyncio.run(answer(foreign, own))


def test_keys_touch_no_file_and_no_two_runs_have_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from cluster.run_keys import make_run_keys

    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    one, two = make_run_keys(), make_run_keys()
    for role in ("client", "worker", "scheduler"):
        one.get_connection_args(role)
        one.get_listen_args(role)
    assert one.tls_worker_key != two.tls_worker_key
    assert one.tls_ca_file != two.tls_ca_file
    assert "KEY" not in repr(one)


def test_a_users_settings_for_other_clusters_change_nothing() -> None:
    import dask

    from cluster.run_keys import make_run_keys

    settings = {
        "tls.ciphers": "NULL",
        "tls.max-version": 1.2,
        "tls.ca-file": "/nonexistent",
        "require-encryption": False,
    }
    with dask.config.set({f"distributed.comm.{name}": value for name, value in settings.items()}):
        context = make_run_keys().get_listen_args("scheduler")["ssl_context"]
    assert context.minimum_version.name == "TLSv1_3"


@pytest.mark.long
def test_a_run_under_attack_finds_what_it_always_finds(tmp_path: Path) -> None:
    attempts, _, differences = attack_run(tmp_path)
    assert differences == []
    assert [attempt for attempt in attempts if not attempt.held] == []
