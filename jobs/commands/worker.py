"""`reprise worker`: this host's processes for a scheduler elsewhere. A thin layer over Dask's own worker."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import click

from dedup.declaration import Option
from dedup.errors import ClusterError, UsageError
from jobs.session import options
from jobs.session.helping import Command
from jobs.session.output import Output
from jobs.session.run import Run, reader
from jobs.session.run_settings import RunSettings
from jobs.session.values import Value, number

WARM_UP = "from dedup.correlation.warm_up import compile_all; compile_all()"


@click.command("worker", cls=Command)
@click.argument("address", metavar="ADDRESS|FILE")
@click.option(
    "--memory",
    type=Value(number(float, Option("", low=0.5))),
    metavar="GIB",
    help="Most memory of each process.  [default: its share]",
)
@click.option("--log-folder", type=click.Path(file_okay=False), help="Folder for the log.  [default: the user's]")
@options.joining_processes
@options.tls
@options.insecure
@options.common
@reader
def worker(run: Run, address: str, memory: float | None, log_folder: str | None) -> None:
    """Work for the Dask scheduler at ADDRESS, or for the one that wrote FILE, until Ctrl-C.

    One process per core joins, each with one thread and a memory limit; a process that dies is restarted. If the
    scheduler or the network goes away, the processes join again as soon as it is back. The first start of a version
    compiles the kernels, which takes some seconds."""
    import platformdirs

    from cluster.open import EXPOSED
    from cluster.place import is_exposed, scheduler_address

    settings = run.settings.of(RunSettings)
    if settings.workers == 0:
        raise UsageError("setting workers", "found 0", remedy="Write 1 or more for `reprise worker`")
    scheduler = scheduler_address(address)
    if is_exposed(scheduler, settings.insecure):
        run.output.note(EXPOSED)
    run.output.note("compiling the kernels, if that was not done before")
    if subprocess.run([sys.executable, "-P", "-c", WARM_UP], check=False).returncode:
        raise ClusterError("kernels", "cannot be compiled", remedy="Read the output above for the reason")
    memory_limit = None if memory is None else int(memory * 2**30)
    folder = log_folder or platformdirs.user_log_dir("reprise")
    asyncio.run(_serve(run.output, scheduler, settings.workers, settings.keys, memory_limit, folder))


async def _serve(
    output: Output, scheduler: str, n_workers: int | None, keys: str | None, memory_limit: int | None, log_folder: str
) -> None:
    """Returns after the first Ctrl-C or SIGTERM."""
    from cluster.host import Host

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, over.set)
    host = Host(scheduler, n_workers, keys, memory_limit, log_folder, rejoin_s=None, say=output.note)
    starting, ending = asyncio.ensure_future(host), asyncio.ensure_future(over.wait())
    await asyncio.wait([starting, ending], return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()  # raises what kept it from starting
    await ending
    starting.cancel()
    await host.close()
    output.note("stopped; other workers do again what was in progress")
