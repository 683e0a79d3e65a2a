"""`reprise serve`: the review by ear, in a browser."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dedup.errors import UsageError
from jobs.session import options
from jobs.session.helping import Command
from jobs.session.run import Run, reader
from jobs.session.run_settings import RunSettings

DEFAULT_PORT = 8765


@click.command("serve", cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="N",
    help="Port on this host; 0 takes any that is free.",
)
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
@click.option(
    "-o",
    "--output",
    "written",
    metavar="FILE",
    type=click.Path(path_type=bytes),
    help="Keep your decisions in this plan.  [default: review.json in the store]",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to serve at. Others can reach any except the default, and must know the passphrase.",
)
@click.option(
    "--name", "names", metavar="NAME", multiple=True, help="Name by which a proxy or your network knows it. Repeatable."
)
@click.option("--set-passphrase", is_flag=True, help="Ask for a passphrase, keep its hash in the store, and end.")
@options.keep
@options.cleanup
@options.match
@options.tls
@options.common
@reader
def serve(
    run: Run, port: int, opened: bool, written: bytes | None, host: str, names: tuple[str, ...], set_passphrase: bool
) -> None:
    """Review the groups in a browser: hear copies side by side, decide, and clean up.

    Prints the address of the page, which only this user of this machine can open, and serves it until Ctrl-C. Nothing
    is fetched from elsewhere. Every decision is saved at once in a plan, as `reprise resolve -o FILE` does, and the two
    can be used by turns. A scan or a nightly run may go on meanwhile."""
    try:
        from jobs.serve.server import Place, serve_pages
    except ModuleNotFoundError as error:
        found, remedy = f"{error.name} is not installed", "Install Reprise with its extra `serve`"
        raise UsageError("reprise serve", found, remedy=remedy) from error
    if set_passphrase:
        _set_passphrase(run)
        return
    keys = run.settings.of(RunSettings).keys
    place = Place(host, port, names, Path(keys) if keys else None)
    serve_pages(run, place, opens=opened, plan=None if written is None else os.path.abspath(written))


def _set_passphrase(run: Run) -> None:
    from dedup.store.layout import Layout
    from dedup.store.store import require_store
    from jobs.serve.passphrase import set_passphrase

    layout = Layout(run.settings.store)
    require_store(layout)
    text = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    set_passphrase(layout.passphrase, text)
    run.output.note("the passphrase is set; a server that is running still asks for the old one")
