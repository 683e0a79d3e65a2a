#!/usr/bin/env python3
"""Attacks a running `reprise full` as another user of the machine could, on every port that its processes listen on.

    ./.venv/bin/python scripts/torture/ports.py [--json]

Started by root, the attacks come from the user `nobody`; otherwise from the same user, whom the network treats alike.
They speak HTTP and Dask's protocol, over plain TCP, over TLS without a certificate and over TLS with the keys of
another run, and try to run code in the launcher, the parents of the workers, and the workers. Command lines,
environments, memory, temporary files and logs are searched for keys. Prints a table of what was tried and what held,
and exits 1 if anything was answered, or if the attacks changed the result of the run. Linux only (/proc)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pwd
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.torture.work import TIMEOUT_S, Size, Store, make_work, undisturbed

SEED = 11
SIZE = Size(n_files=10, n_imported=1200, block_size=16)
ANSWER_S = 1.0
"""How long an attack waits for an answer. Who is answered at all is answered within milliseconds."""
SECRETS = (b"PRIVATE KEY", b"BEGIN CERTIFICATE")
RAN = "run code as the launcher's user"
TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""First bytes of TLS's alerts and handshakes: a refusal, not an answer."""


@dataclass(frozen=True)
class Port:
    """A socket that a process listens on."""

    pid: int
    kind: str
    """tcp, udp or unix."""
    host: str
    """Address; the path of a socket of the kind unix."""
    number: int


@dataclass(frozen=True)
class Attempt:
    """An attack and what came of it."""

    where: str
    tried: str
    held: bool
    found: str
    """The answer, or why there was none."""


# ---- what is there to be attacked


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    import psutil

    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def listening(pids: Iterable[int]) -> list[Port]:
    """Every socket of these processes that another process can reach by an address."""
    import psutil

    ports = []
    for pid in pids:
        for found in psutil.Process(pid).net_connections("inet"):
            if found.status == psutil.CONN_LISTEN or found.type == socket.SOCK_DGRAM:
                kind = "tcp" if found.type == socket.SOCK_STREAM else "udp"
                ports.append(Port(pid, kind, found.laddr.ip, found.laddr.port))
        ports += [Port(pid, "unix", path, 0) for path in _unix_sockets(pid)]
    return ports


def _unix_sockets(pid: int) -> Iterator[str]:
    """Paths of the listening Unix sockets of a process; one in the abstract name space begins with "@"."""
    own = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            own.add(os.readlink(entry))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *path = line.split()
        if int(flags, 16) & 0x10000 and f"socket:[{inode}]" in own:  # __SO_ACCEPTCON
            yield path[0] if path else "(no name)"


# ---- the attacks, in the attacker's own process


def no_certificate() -> ssl.SSLContext:
    """Believes every server, shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def foreign_keys() -> Any:
    """Dask's `Security` that believes every server, and shows a certificate that names the same authority and host as
    the real ones."""
    from cluster.run_keys import RunKeys, make_run_keys

    class Credulous(RunKeys):
        def get_connection_args(self, role: str) -> dict[str, Any]:
            arguments = super().get_connection_args(role)
            arguments["ssl_context"].verify_mode = ssl.CERT_NONE
            return arguments

    keys = make_run_keys()
    keys.__class__ = Credulous
    return keys


def foreign_certificate() -> ssl.SSLContext:
    """The same for a connection without Dask."""
    context: ssl.SSLContext = foreign_keys().get_connection_args("client")["ssl_context"]
    return context


async def attack_port(host: str, number: int, witness: Path) -> list[Attempt]:
    """Tries everything on one TCP port. Code that can be run makes folders in `witness`."""
    contexts = {"without a certificate": no_certificate(), "with the keys of another run": foreign_certificate()}
    tries: dict[str, Awaitable[str]] = {"TCP, only listening": _read(host, number, None, b"")}
    http = b"GET /sitemap.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for how, context in {"over TCP": None, **contexts}.items():
        tries[f"HTTP {'' if context is None else 'over TLS '}{how}"] = _read(host, number, context, http)
        for op in ("identity", "run", "run_function"):
            name = f"Dask's {op} {'' if context is None else 'over TLS '}{how}"
            tries[name] = _dask(host, number, context, op, witness / f"{number}-{len(tries)}")
    tries["Dask's Client over TCP"] = _client(f"tcp://{host}:{number}", False, witness / f"{number}-tcp")
    tries["Dask's Client over TLS with the keys of another run"] = _client(
        f"tls://{host}:{number}", True, witness / f"{number}-tls"
    )
    found = await asyncio.gather(*(_held(attempt) for attempt in tries.values()))
    return [Attempt(f"tcp {host}:{number}", name, *outcome) for name, outcome in zip(tries, found, strict=True)]


async def _held(attempt: Awaitable[str]) -> tuple[bool, str]:
    """Whether an attack failed, and how; an attack that is answered returns the answer."""
    try:
        return False, await asyncio.wait_for(attempt, 3 * ANSWER_S)
    except (OSError, EOFError, TimeoutError, RuntimeError, TypeError, ValueError) as error:
        return True, f"{type(error).__name__}: {error}".splitlines()[0][:100]


async def _read(host: str, number: int, context: ssl.SSLContext | None, question: bytes) -> str:
    reader, writer = await asyncio.open_connection(host, number, ssl=context)
    try:
        writer.write(question)
        answer = await asyncio.wait_for(reader.read(1000), ANSWER_S)
        if not answer:
            raise EOFError("connection closed")
        if context is None and answer.startswith(TLS_RECORDS):
            raise EOFError("a TLS alert")
        return f"{answer[:60]!r}"
    finally:
        writer.transport.abort()


async def _dask(host: str, number: int, context: ssl.SSLContext | None, op: str, witness: Path) -> str:
    from distributed.comm import connect
    from distributed.protocol.pickle import dumps

    arguments = {} if context is None else {"ssl_context": context}
    scheme = "tcp" if context is None else "tls"
    comm = await connect(f"{scheme}://{host}:{number}", timeout=ANSWER_S, **arguments)
    try:
        message: dict[str, Any] = {"op": op, "reply": True}
        if op != "identity":
            message |= {"function": dumps(os.mkdir), "args": dumps((str(witness),)), "wait": True}
        await comm.write(message)
        return f"{await asyncio.wait_for(comm.read(), ANSWER_S)!r}"[:60]
    finally:
        comm.abort()


async def _client(address: str, has_keys: bool, witness: Path) -> str:
    from distributed import Client

    keys = foreign_keys() if has_keys else None
    async with Client(address, security=keys, timeout=ANSWER_S, asynchronous=True, set_as_default=False) as client:
        await asyncio.wait_for(client.submit(os.mkdir, str(witness)), ANSWER_S)
        return "took a task"


def _try(action: Callable[[], str]) -> tuple[bool, str]:
    """The same as `_held` for what needs no waiting."""
    try:
        return False, action()
    except OSError as error:
        return True, error.strerror or str(error)


def attack_process(pid: int) -> list[Attempt]:
    """What others can see of a process."""
    where = f"process {pid}"
    shown = Path(f"/proc/{pid}/cmdline").read_bytes()
    leaks = any(secret in shown for secret in SECRETS)
    attempts = [Attempt(where, "keys in the command line", not leaks, shown.replace(b"\0", b" ").decode()[:60])]
    for name in ("environ", "mem", "maps"):
        attempts.append(Attempt(where, f"read its {name}", *_try(lambda name=name: _head(f"/proc/{pid}/{name}"))))  # type: ignore[misc]
    return attempts


def _head(path: str) -> str:
    with open(path, "rb") as file:
        return f"{file.read(20)!r}"


def attack_unix(path: str) -> Attempt:
    """Tries to connect to a Unix socket."""

    def action() -> str:
        with socket.socket(socket.AF_UNIX) as own:
            own.connect(f"\0{path[1:]}" if path.startswith("@") else path)
            return "connected"

    return Attempt(f"unix {path}", "connect", *_try(action))


def attack_files(folders: list[str]) -> list[Attempt]:
    """Searches the files below these folders that this user can read."""
    attempts = []
    for folder in folders:
        leaks, n_read = [], 0
        for place, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(place, name)
                if os.path.isfile(path) and os.access(path, os.R_OK):
                    n_read += 1
                    with contextlib.suppress(OSError):
                        content = Path(path).read_bytes()
                        leaks += [name] if any(secret in content for secret in SECRETS) else []
        attempts.append(Attempt(folder, "keys in files", not leaks, ", ".join(leaks) or f"{n_read} files read"))
    return attempts


def _become(user: list[int]) -> None:
    """Gives up all rights, after loading what another user may not be able to read here."""
    import distributed  # noqa: F401

    foreign_certificate()
    os.setgroups([])
    os.setgid(user[1])
    os.setuid(user[0])


async def _attack_all(target: dict[str, Any]) -> list[Attempt]:
    ports = [Port(*port) for port in target["ports"]]
    witness = Path(target["witness"])
    on_ports = await asyncio.gather(*(attack_port(p.host, p.number, witness) for p in ports if p.kind == "tcp"))
    attempts = [attempt for found in on_ports for attempt in found]
    attempts += [attack_unix(port.host) for port in ports if port.kind == "unix"]
    attempts += [Attempt(f"udp {p.host}:{p.number}", "is there", False, "open") for p in ports if p.kind == "udp"]
    if target["user"]:
        attempts += [attempt for pid in target["pids"] for attempt in attack_process(pid)]
    return attempts + attack_files(target["folders"])


# ---- the whole attack


def attack(pid: int, folders: Iterable[Path]) -> list[Attempt]:
    """Attacks a process and its descendants, as another user if this one is root, and searches `folders` for keys.
    Waits for all attacks."""
    pids = tree(pid)
    ports = listening(pids)
    if not ports:
        raise RuntimeError(f"process {pid} listens nowhere: is it at work?")
    own_view = [_keys_seen_by_owner(each) for each in pids]
    own_view += attack_files([str(folder) for folder in folders])
    return send_attacker(ports, pids, folders) + own_view


def send_attacker(ports: list[Port], pids: Iterable[int] = (), folders: Iterable[Path] = ()) -> list[Attempt]:
    """Attacks from a process of its own; the last attempts are the programs that it could run as another user."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="witness-", dir="/tmp") as place:
        witness = Path(place)
        witness.chmod(0o777)
        target = {
            "ports": [astuple(port) for port in ports],
            "pids": list(pids),
            "witness": place,
            "user": user and [user.pw_uid, user.pw_gid],
            "folders": [str(folder) for folder in folders],
        }
        done = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).resolve()), "--attacker"],
            input=json.dumps(target),
            text=True,
            capture_output=True,
            cwd="/",
            env={**os.environ, "HOME": place},
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the attacker failed: {done.stderr}")
        ran = [Attempt(place, RAN, False, path.name) for path in witness.iterdir()]
        return [Attempt(*found) for found in json.loads(done.stdout)] + (
            ran or [Attempt(place, RAN, True, "nothing ran")]
        )


def _keys_seen_by_owner(pid: int) -> Attempt:
    """Even the owner finds no keys in an environment, which children inherit."""
    shown = Path(f"/proc/{pid}/environ").read_bytes()
    leaks = any(secret in shown for secret in SECRETS)
    return Attempt(f"process {pid}", "keys in the environment, as its owner", not leaks, f"{len(shown)} bytes read")


def table(attempts: list[Attempt]) -> str:
    """Attack, how often it was tried, how often it held, and what it got."""
    counts: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        counts[attempt.tried].append(attempt)
    lines = [f"{'attack':<58}{'tried':>6}{'held':>6}  for example"]
    for tried, found in counts.items():
        example = min(found, key=lambda attempt: attempt.held)
        lines.append(f"{tried:<58}{len(found):>6}{sum(attempt.held for attempt in found):>6}  {example.found}")
    return "\n".join(lines)


def attack_run(folder: Path) -> tuple[list[Attempt], list[Port], list[str]]:
    """Attacks a `reprise full` in the middle; returns the attacks, the ports, and in what the result differs from that
    of a run that nobody attacked."""
    folder.chmod(0o755)  # so that only the run's own rights protect its files
    temporary = folder / "tmp"
    temporary.mkdir()
    make_work(folder, SIZE, SEED)
    truth = undisturbed(Store(folder, folder / "undisturbed", SIZE))
    store = Store(folder, folder / "attacked", SIZE, ("env", f"TMPDIR={temporary}", "REPRISE_FEW_TASKS=0"))
    store.import_fingerprints()
    run = store.start(*store.full())
    deadline = time.monotonic() + TIMEOUT_S
    while store.count("tile") < 1 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    ports = listening(tree(run.pid))
    attempts = attack(run.pid, [temporary, store.folder])
    if run.poll() is not None:
        raise RuntimeError("the run was over before the attacks were: give it more work")
    code = run.wait(TIMEOUT_S)
    pairs, blocks = store.result()
    expected = {"exit code": (code, truth.exit_code), "pairs": (pairs, truth.pairs), "blocks": (blocks, truth.blocks)}
    return attempts, ports, [name for name, (found, wanted) in expected.items() if found != wanted]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--attacker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attacker:
        target = json.load(sys.stdin)
        if target["user"]:
            _become(target["user"])
        print(json.dumps([astuple(attempt) for attempt in asyncio.run(_attack_all(target))]))
        return 0
    with tempfile.TemporaryDirectory(prefix="ports-test-") as folder:
        attempts, ports, differences = attack_run(Path(folder))
    if options.json:
        found = {"attempts": [asdict(attempt) for attempt in attempts], "ports": [asdict(port) for port in ports]}
        print(json.dumps(found | {"differences": differences}))
    else:
        print(f"attacker: {'nobody' if os.geteuid() == 0 else 'the same user'}; {len(ports)} ports")
        print(table(attempts))
        print(f"the result differs: {', '.join(differences)}" if differences else "the run found what it always finds")
    return 1 if differences or not all(attempt.held for attempt in attempts) else 0


if __name__ == "__main__":
    sys.exit(main())
