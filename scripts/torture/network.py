"""Hosts (network namespaces of this machine, or the machine itself), and a Dask cluster on them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.torture.work import ROOT, Size, Store

TIMEOUT_S = 180.0
SIZE = Size(n_files=24, n_clips_a_file=16, n_imported=200, block_size=4, n_workers=1)


class Hosts:
    """Three hosts, called a, b and c, each with an address."""

    addresses: dict[str, str]
    what: str

    def prefix(self, host: str) -> tuple[str, ...]:
        """Words in front of a command that make it run on a host."""
        raise NotImplementedError

    def can_cut(self) -> bool:
        """Whether a host can be cut off without ending it."""
        return False

    def cut(self, host: str) -> None:
        """Takes a host off the network."""

    def mend(self, host: str) -> None:
        """Brings a host back to the network."""


class Loopback(Hosts):
    """Addresses of this machine."""

    def __init__(self, why: str) -> None:
        self.what = f"loopback addresses ({why})"
        self.addresses = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}

    def prefix(self, host: str) -> tuple[str, ...]:
        del host
        return ()


class Namespaces(Hosts):
    """Network namespaces, each with a veth pair to a bridge in an extra namespace."""

    what = "network namespaces"

    def __init__(self, stack: contextlib.ExitStack) -> None:
        """Raises OSError or CalledProcessError if namespaces are not allowed."""
        self._tag = secrets.token_hex(2)
        self.addresses = {"a": "10.213.7.1", "b": "10.213.7.2", "c": "10.213.7.3"}
        for name in ("switch", *self.addresses):
            _ip("netns", "add", self._name(name))
            stack.callback(_ip, "netns", "del", self._name(name))
        switch = self._name("switch")
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for host, address in self.addresses.items():
            own = self._name(host)
            _ip("-n", own, "link", "add", "lan", "type", "veth", "peer", "name", f"to-{host}", "netns", switch)
            _ip("-n", switch, "link", "set", f"to-{host}", "master", "bridge", "up")
            _ip("-n", own, "address", "add", f"{address}/24", "dev", "lan")
            _ip("-n", own, "link", "set", "lan", "up")
            _ip("-n", own, "link", "set", "lo", "up")

    def _name(self, host: str) -> str:
        return f"reprise-{self._tag}-{host}"

    def prefix(self, host: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._name(host))

    def can_cut(self) -> bool:
        return True

    def cut(self, host: str) -> None:
        _ip("-n", self._name("switch"), "link", "set", f"to-{host}", "down")

    def mend(self, host: str) -> None:
        _ip("-n", self._name("switch"), "link", "set", f"to-{host}", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def open_hosts(stack: contextlib.ExitStack, wants_namespaces: bool = True) -> Hosts:
    """Namespaces if they are allowed, otherwise loopback addresses."""
    if not wants_namespaces:
        return Loopback("as requested")
    with contextlib.ExitStack() as own:
        try:
            hosts = Namespaces(own)
        except OSError as error:
            return Loopback(f"no namespaces: {error}")
        except subprocess.CalledProcessError as error:
            return Loopback(f"no namespaces: {error.stderr.strip()}")
        stack.push(own.pop_all())
        return hosts


class Network:
    """The processes on the hosts."""

    def __init__(
        self, hosts: Hosts, folder: Path, stack: contextlib.ExitStack, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment` is added to that of each process."""
        self.hosts, self.folder, self.stack, self.environment = hosts, folder, stack, environment or {}
        self._scheduler_file = folder / "scheduler.json"
        self._reprise("a", "keys", "cluster", "keys", str(folder / "keys"), *hosts.addresses.values()).wait(TIMEOUT_S)

    def keys(self, host: str) -> str:
        return str(self.folder / "keys" / self.hosts.addresses[host])

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return str(json.loads(self._scheduler_file.read_text())["address"])

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Starts Dask's own scheduler on host a, on a free port."""
        keys = {name: f"{self.keys('a')}/{name}.pem" for name in ("ca", "cert", "key")}
        tls = ("--tls-ca-file", keys["ca"], "--tls-cert", keys["cert"], "--tls-key", keys["key"])
        where = ("--protocol", "tls", "--host", self.hosts.addresses["a"], "--port", "0", "--no-dashboard")
        where += ("--scheduler-file", str(self._scheduler_file))
        # Dask serves HTTP even without a dashboard
        command = ("-m", "distributed.cli.dask_scheduler", *where, *tls, "--dashboard-address", "127.0.0.1:0")
        environment = {
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"
        }  # the least that Dask allows: a lost host is noticed sooner
        process = self._start("a", "scheduler", command, environment)
        until(self._scheduler_file.exists, "the scheduler")
        return process

    def start_workers(self, host: str, n: int = 1) -> subprocess.Popen[bytes]:
        how = ("--workers", str(n), "--tls", self.keys(host), "--log-folder", str(self.folder / f"log-{host}"))
        return self._reprise(host, f"worker-{host}", "worker", self.address, *how)

    def store(self, folder: Path) -> Store:
        """A store on host a whose commands use the cluster."""
        workers = ("--scheduler", self.address, "--tls", self.keys("a"))
        return Store(self.folder, folder, SIZE, self.hosts.prefix("a"), workers)

    def said(self, name: str) -> str:
        """What a process has printed so far."""
        return (self.folder / f"{name}.out").read_text(errors="replace")

    def _reprise(self, host: str, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self._start(host, name, ("-m", "jobs", *arguments))

    def _start(
        self, host: str, name: str, arguments: tuple[str, ...], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        command = [*self.hosts.prefix(host), sys.executable, *arguments]
        with open(self.folder / f"{name}.out", "ab") as out:
            own = {**os.environ, **self.environment, **(environment or {})}
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True, env=own)
        self.stack.callback(end, process)
        return process


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> None:
    """Ends a process and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait(TIMEOUT_S)


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for the condition. Raises RuntimeError if it does not come true in time."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {TIMEOUT_S:g} s for {what}")
        time.sleep(0.05)
