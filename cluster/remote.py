"""A cluster of other hosts: a running scheduler, or one in this process whose workers are started over SSH.

Importing this module imports Dask."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.deploy.spec import ProcessInterface, SpecCluster
from distributed.deploy.ssh import Worker as OverSsh
from distributed.utils import get_ip

from cluster import local, preflight
from cluster.folder import open_folder
from cluster.host import CONFIG as HOST_CONFIG
from cluster.logs import LOGGER, open_logs, told
from cluster.nanny import DEATHS
from cluster.no_http import NoHttpScheduler
from cluster.place import Place, bare_host, is_loopback, scheduler_address, security
from cluster.preflight import MIN_MEMORY_BYTES, Admission, Terms
from cluster.process import Death
from cluster.tenancy import claim
from dedup.errors import ClusterError

START_TIMEOUT_S = 60.0
"""How long to wait for the scheduler, and then for the first worker."""
CLOSE_TIMEOUT_S = 15.0
DEATH_TIMEOUT_S = 3.0
"""How long the nanny's report of a worker's end may lag behind the scheduler."""
LOST_HOST_S = 60.0
"""How long after a worker's end went unreported no report is awaited from its host."""
COUNT_EVERY_S = 1.0

CONFIG: dict[str, Any] = local.CONFIG | HOST_CONFIG


class RemoteConnection:
    """A client of workers on other hosts, which may come and go."""

    def __init__(self, place: Place, terms: Terms, log_folder: Path | None, say: Callable[[str], None]) -> None:
        """Returns when at least one worker is there and all of them meet the terms; `say` receives a line about each
        host that cannot be started. Raises ClusterError."""
        self._deaths: dict[str, Death] = {}
        self._lost_hosts: dict[str, float] = {}
        self._count, self._counted_at = 0, 0.0
        self._stack = contextlib.ExitStack()
        try:
            # In a thread, where no KeyboardInterrupt can leave one of Dask's objects half made.
            with ThreadPoolExecutor(1) as executor:
                executor.submit(self._open, place, log_folder, say).result()
            self._wait_for_workers(place)
            self._memory_bytes = self._least_memory() or MIN_MEMORY_BYTES
            preflight.require(self.client, terms)
            self.client.register_plugin(Admission(replace(terms, memory_bytes=self._memory_bytes)))
        except BaseException:
            self.close()
            raise

    def _open(self, place: Place, log_folder: Path | None, say: Callable[[str], None]) -> None:
        self._stack.enter_context(open_logs(log_folder))
        ttl = {"distributed.scheduler.worker-ttl": place.worker_timeout_s}
        self._stack.enter_context(dask.config.set(CONFIG | ttl))
        self._address = "" if place.hosts else scheduler_address(place.scheduler or "")
        own_security = security(place.keys, self._address)
        if place.hosts:
            folder = self._stack.enter_context(open_folder())
            cluster = _start_hosts(place, own_security, folder, say)
            self._stack.callback(_close_cluster, cluster)
            self._address = cluster.scheduler_address
        try:
            how = {"set_as_default": False, "direct_to_workers": False, "timeout": START_TIMEOUT_S}
            self.client = Client(self._address, security=own_security, **how)
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
            remedy = "Check that a Dask scheduler runs at this address"
            raise ClusterError(self._address, f"cannot connect: {told(error)}", remedy=remedy) from error
        self._stack.callback(self._close_client)
        self.client.subscribe_topic(DEATHS, self._take_death)
        self._claim()

    def _claim(self) -> None:
        """Reserves the scheduler for this run until the client is gone."""
        who = f"process {os.getpid()} of {socket.gethostname()}"
        try:
            holder = self.client.run_on_scheduler(claim, self.client.id, who)
        except Exception as error:
            remedy = "Start it with the Python that has Reprise installed"
            raise ClusterError(self._address, f"the scheduler cannot run Reprise: {error}", remedy=remedy) from error
        if holder is not None:
            remedy = "Wait until it ends, or start another scheduler"
            raise ClusterError(self._address, f"serves another run: {holder}", remedy=remedy)

    def _wait_for_workers(self, place: Place) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.count_workers() == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.count_workers() == 0:
            remedy = "Start `reprise worker ADDRESS` on each host" if not place.hosts else "See the log"
            raise ClusterError(self._address, f"no worker joined within {START_TIMEOUT_S:g} s", remedy=remedy)

    def need(self, n_workers: int) -> None:
        """Does nothing: which workers there are is not decided here."""

    def count_workers(self) -> int:
        """Workers that were connected a second ago. Raises ClusterError when the scheduler is gone: even if it comes
        back, it no longer knows what was in flight."""
        if time.monotonic() - self._counted_at > COUNT_EVERY_S:
            try:
                if self.client.status != "running":
                    raise OSError(f"the connection is {self.client.status}")
                self._count = int(self.client.sync(self.client.scheduler.identity, n_workers=0)["n_workers"])
            except (OSError, TimeoutError, RuntimeError, AttributeError) as error:
                found = f"lost the scheduler: {told(error)}"
                remedy = "Run it again: the next run goes on where this one stopped"
                raise ClusterError(self._address, found, remedy=remedy) from error
            self._counted_at = time.monotonic()
        return self._count

    def worker_memory_bytes(self) -> int:
        """Smallest memory limit among the workers that were there at the start."""
        return self._memory_bytes

    def _least_memory(self) -> int | None:
        workers = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"].values()
        return min((int(worker["memory_limit"]) for worker in workers if worker["memory_limit"]), default=None)

    def death_of(self, address: str) -> Death | None:
        """How the worker at `address` ended; None if its host does not report it."""
        host = address.rpartition(":")[0]
        patient = time.monotonic() - self._lost_hosts.get(host, -LOST_HOST_S) >= LOST_HOST_S
        deadline = time.monotonic() + (DEATH_TIMEOUT_S if patient else 0)
        while address not in self._deaths and time.monotonic() < deadline:
            time.sleep(0.01)
        death = self._deaths.get(address)
        if death is None:
            self._lost_hosts[host] = time.monotonic()
        else:
            self._lost_hosts.pop(host, None)
        return death

    def _take_death(self, event: tuple[float, dict[str, Any]]) -> None:
        told = dict(event[1])
        address = told.pop("address")
        LOGGER.warning("worker %s ended: %s", address, told["how"])
        self._deaths[address] = Death(**told)

    def close(self) -> None:
        """Ends the connection; workers that were started for it end too, others wait for the next run."""
        self._stack.close()

    def _close_client(self) -> None:
        with contextlib.suppress(TimeoutError, OSError):
            self.client.close(timeout=CLOSE_TIMEOUT_S)


def _start_hosts(place: Place, own_security: Any, folder: str, say: Callable[[str], None]) -> SpecCluster:
    """A scheduler in this process, and a `Host` on each of the hosts that can be reached."""
    names = [bare_host(host) for host in place.hosts]
    protocol = "tls" if own_security.require_encryption else "tcp"
    scheduler = {
        "cls": NoHttpScheduler,
        "options": {
            "host": "127.0.0.1" if all(map(is_loopback, names)) else get_ip(names[0]),
            "port": 0,
            "protocol": f"{protocol}://",
            "security": own_security,
            "dashboard": False,
            "local_directory": folder,
        },
    }
    failures: list[str] = []
    workers = {
        f"{index}-{host}": {
            "cls": _SshHost,
            "options": {
                "address": name,
                "connect_options": {"username": host.rpartition("@")[0]} if "@" in host else {},
                "kwargs": {"n_workers": place.n_workers, "keys": place.keys},
                "worker_class": "cluster.host.Host",
                "remote_python": place.remote_python,
                "failures": failures,
            },
        }
        for index, (host, name) in enumerate(zip(place.hosts, names, strict=True))
    }
    cluster = SpecCluster(workers, scheduler, security=own_security, name="reprise", silence_logs=False)
    if len(failures) == len(place.hosts):
        _close_cluster(cluster)
        remedy = "Try `ssh HOST true` for each: it must not ask for anything"
        raise ClusterError("--hosts", f"no host could be started: {'; '.join(failures)}", remedy=remedy)
    for failure in failures:
        LOGGER.warning("host %s", failure)
        say(f"host {failure}; the others do its work")
    return cluster


class _SshHost(OverSsh):  # type: ignore[misc]
    """Dask's worker over SSH, one for a whole host. A host that cannot be started counts as one that left."""

    def __init__(self, *args: Any, kwargs: dict[str, Any], failures: list[str], **more: Any) -> None:
        super().__init__(*args, kwargs={}, **more)
        self.kwargs = kwargs  # set late: Dask takes its n_workers for a number of hosts
        self._failures = failures

    async def start(self) -> None:
        try:
            await super().start()
        except ImportError as error:
            remedy = "Install the extra `hosts`: uv tool install 'reprise-dedup[hosts]'"
            raise ClusterError("--hosts", f"needs the package asyncssh: {error}", remedy=remedy) from error
        except Exception as error:
            self._failures.append(f"{self.address} cannot be started: {told(error)}")
            await ProcessInterface.start(self)


def _close_cluster(cluster: SpecCluster) -> None:
    with contextlib.suppress(TimeoutError):
        cluster.close(timeout=CLOSE_TIMEOUT_S)
