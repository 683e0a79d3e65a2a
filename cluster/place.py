"""Where a cluster of other hosts is, and how to reach it. The program imports this at every start, for its options:
anything heavy is imported where it is used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from dedup.errors import ClusterError

CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "cert.pem", "key.pem"
"""Files in a host's folder of keys: the private authority's certificate, the host's own, and its secret key."""

WORKER_TIMEOUT_S = 300.0
"""Silence after which a worker is ended and started anew."""


@dataclass(frozen=True)
class Place:
    """A running scheduler, or hosts on which workers are started over SSH."""

    scheduler: str | None = None
    """Address of the scheduler, or the file that it wrote (`dask scheduler --scheduler-file`); None with `hosts`."""
    hosts: tuple[str, ...] = ()
    """Hosts by their SSH names; their workers learn where this process listens."""
    keys: str | None = None
    """Folder of this host's keys, at the same path on each of `hosts`; None for what Dask's own settings say."""
    n_workers: int | None = None
    """Processes on each of `hosts`; None for one per core."""
    remote_python: str | None = None
    """Python on each of `hosts`; None for the path of the one that runs here."""
    worker_timeout_s: float = WORKER_TIMEOUT_S
    insecure: bool = False
    """Whether to work without TLS too, where others can read the traffic and run programs as this user."""

    def is_exposed(self) -> bool:
        """Whether there is no TLS, so that others can read the traffic and give commands. Raises ClusterError if keys
        cannot be read, or if it is exposed and that was not accepted as `insecure`."""
        if self.scheduler is not None:
            return is_exposed(scheduler_address(self.scheduler), self.insecure)
        exposed = not security(self.keys).require_encryption
        if exposed and not self.insecure:
            raise _refused("--hosts")
        return exposed


def scheduler_address(scheduler: str) -> str:
    """The address itself, or the one in a scheduler file. Raises ClusterError if it is neither."""
    if "://" in scheduler:
        return scheduler
    if os.path.exists(scheduler):
        import json

        try:
            with open(scheduler, encoding="utf-8") as file:
                return str(json.load(file)["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            found = f"not a scheduler file: {type(error).__name__}: {error}"
            remedy = "Name the file that `dask scheduler --scheduler-file` wrote"
            raise ClusterError(f"scheduler {scheduler}", found, remedy=remedy) from error
    host, _, port = scheduler.rpartition(":")
    if not host or not port.isdecimal():
        raise ClusterError(
            f"scheduler {scheduler}",
            "not a file or an address",
            remedy="Give an address such as tls://nas:8786, or the file that `dask scheduler --scheduler-file` wrote",
        )
    return f"tcp://{scheduler}"


def is_exposed(address: str, insecure: bool = False) -> bool:
    """Whether others can read what goes to this scheduler's address and give commands, because it has no TLS. So can
    every user of this machine if the address is a loopback. Raises ClusterError if it is exposed and that was not
    accepted as `insecure`."""
    exposed = not address.startswith("tls://")
    if exposed and not insecure:
        raise _refused(address)
    return exposed


def _refused(where: str) -> ClusterError:
    found = "no TLS: anyone who can reach its ports, and any user of its hosts, can run programs as you"
    remedy = "Make keys with `reprise cluster keys` and give --tls DIR, or accept the risk with --insecure"
    return ClusterError(where, found, remedy=remedy)


def bare_host(host: str) -> str:
    """The host in "user@host"."""
    return host.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    """Whether this host name or address never leaves the machine."""
    import ipaddress
    import socket

    try:
        found = socket.getaddrinfo(host.strip("[]"), None)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def security(keys: str | None, address: str = "") -> Any:
    """Dask's `Security` from a folder of keys, which then admits only TLS; without one, from Dask's own settings.
    Raises ClusterError if the folder lacks a file, or if there are no keys for a TLS `address`."""
    from distributed import Security

    if keys is None:
        own = Security()
        if not (address.startswith("tls://") or own.require_encryption):
            return own
        own.require_encryption = True  # else the parents of workers listen without TLS, whatever the scheduler speaks
        if own.get_connection_args("client").get("ssl_context") is None:
            remedy = "Give --tls DIR, or set certificates in Dask's own settings"
            raise ClusterError(address or "--hosts", "no keys for TLS", remedy=remedy)
        return own
    files = {name: os.path.join(keys, name) for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE)}
    for path in files.values():
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            remedy = "`reprise cluster keys` makes a host's keys"
            raise ClusterError(path, f"cannot be read: {error.strerror}", remedy=remedy) from error
    files_by_role = {
        f"tls_{role}_{part}": files[name]
        for role in ("client", "worker", "scheduler")
        for part, name in (("cert", CERTIFICATE_FILE), ("key", KEY_FILE))
    }
    return Security(tls_ca_file=files[CA_FILE], require_encryption=True, **files_by_role)


def count_cores() -> int:
    """Cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
