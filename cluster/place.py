"""Where a cluster of other hosts is, and how one speaks with it. Every start of the program reads this for its options:
what is heavier than that is imported where it is used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from dedup.errors import ClusterError

CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "cert.pem", "key.pem"
"""What a host's folder of keys holds: the private authority's certificate, the host's own, and its secret key."""

WORKER_TIMEOUT_S = 300.0
"""A worker from which nothing is heard for so long is ended and started anew."""


@dataclass(frozen=True)
class Place:
    """A scheduler that runs, or hosts on which workers are started over SSH."""

    scheduler: str | None = None
    """Its address, or the file that it wrote (`dask scheduler --scheduler-file`); None where `hosts` are given."""
    hosts: tuple[str, ...] = ()
    """As SSH knows them; their workers are told where this process listens."""
    keys: str | None = None
    """Folder of this host's keys; the same path on each of `hosts`. None is what Dask's own settings say."""
    n_workers: int | None = None
    """Processes on each of `hosts`; None is one a core."""
    remote_python: str | None = None
    """Python on each of `hosts`; None is the path of the one that runs here."""
    worker_timeout_s: float = WORKER_TIMEOUT_S

    def is_exposed(self) -> bool:
        """Whether others of the network can read what passes and give commands: no TLS, no loopback. Raises
        ClusterError where keys cannot be read."""
        if self.scheduler is not None:
            return is_exposed(scheduler_address(self.scheduler))
        return (
            not all(is_loopback(bare_host(host)) for host in self.hosts) and not security(self.keys).require_encryption
        )


def scheduler_address(scheduler: str) -> str:
    """The address itself, or the one in a scheduler file. Raises ClusterError where it is neither."""
    if "://" in scheduler:
        return scheduler
    if os.path.exists(scheduler):
        import json

        try:
            with open(scheduler, encoding="utf-8") as file:
                return str(json.load(file)["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            found = f"no scheduler file: {type(error).__name__}: {error}"
            raise ClusterError(f"scheduler {scheduler}", found, 'JSON with an "address"') from error
    host, _, port = scheduler.rpartition(":")
    if not host or not port.isdecimal():
        raise ClusterError(
            f"scheduler {scheduler}",
            "no such file, and no address",
            "an address such as tls://nas:8786, or the file that `dask scheduler --scheduler-file` wrote",
        )
    return f"tcp://{scheduler}"


def is_exposed(address: str) -> bool:
    """The same of a scheduler's address."""
    protocol, _, place = address.rpartition("://")
    return protocol not in ("tls", "wss", "inproc") and not is_loopback(place.rpartition(":")[0] or place)


def bare_host(host: str) -> str:
    """The host of "user@host"."""
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
    """Dask's `Security` from a folder of keys, which then admits nothing but TLS; else from Dask's own settings.
    Raises ClusterError for a folder that lacks a file, and where there are no keys for a TLS `address`."""
    from distributed import Security

    if keys is None:
        own = Security()
        if address.startswith("tls://") and own.get_connection_args("client").get("ssl_context") is None:
            raise ClusterError(address, "no keys for TLS", "--tls DIR, or certificates in Dask's own settings")
        return own
    files = {name: os.path.join(keys, name) for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE)}
    for path in files.values():
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            remedy = "`reprise cluster keys` makes them"
            raise ClusterError(path, f"cannot be read: {error.strerror}", "a host's keys", remedy) from error
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
