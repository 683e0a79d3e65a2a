"""An SSH server on loopback that runs what it is asked to, for `test_hosts.py`: `python ssh_server.py FOLDER`. Its
folder becomes a home from which `ssh node1` and `ssh node2` lead here."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import asyncssh

CONFIG = """Host node1 node2
 HostName 127.0.0.1
 Port {port}
 IdentityFile {folder}/id
 UserKnownHostsFile {folder}/known_hosts
"""


async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    assert process.command is not None
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_shell(process.command, stdin=nothing, stdout=pipe, stderr=pipe)
    assert child.stdout is not None
    assert child.stderr is not None
    with contextlib.suppress(OSError):
        await asyncio.gather(pump(child.stdout, process.stdout), pump(child.stderr, process.stderr))
        process.exit(await child.wait())


async def pump(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    while piece := await source.read(4096):
        target.write(piece)


async def serve(folder: Path) -> None:
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    user_key.write_private_key(folder / "id")
    (folder / "authorized").write_bytes(user_key.export_public_key())
    server = await asyncssh.create_server(
        asyncssh.SSHServer,
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(folder / "authorized"),
        process_factory=run,
        encoding=None,
    )
    port = server.get_port()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")
    (folder / ".ssh").mkdir()
    (folder / ".ssh" / "config").write_text(CONFIG.format(port=port, folder=folder))
    (folder / "ready").touch()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
