"""`reprise cluster keys`: makes TLS certificates for the hosts of a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.session import options
from jobs.session.helping import Command
from jobs.session.output import path_text
from jobs.session.run import Run, reader


@click.group("cluster")
def cluster() -> None:
    """Prepare a cluster of several hosts."""


@cluster.command("keys", cls=Command)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
@options.common
@reader
def keys(run: Run, folder: Path, hosts: tuple[str, ...]) -> None:
    """Make a private certificate authority in DIR, and the keys of each HOST in DIR/HOST.

    Copy DIR/HOST to each host over a secure channel, and name the copy with --tls. A host that already has keys keeps
    them, so you can add more hosts later. Whoever has DIR/ca-key.pem can admit hosts: keep it where nobody else can
    read it."""
    from cluster.keys import make_keys

    made = make_keys(folder, hosts)
    for host in hosts:
        path = folder / host
        run.output.result({"event": "keys", "host": host, "folder": str(path), "made": path in made})
        run.output.note(f"{host}: {path_text(str(path).encode())}{'' if path in made else ' (kept as it was)'}")
