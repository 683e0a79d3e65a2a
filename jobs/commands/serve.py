"""`reprise serve`: the review by ear, in a browser."""

from __future__ import annotations

import click

from dedup.errors import UsageError
from jobs.session import options
from jobs.session.run import Run, reader

DEFAULT_PORT = 8765


@click.command("serve")
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
@options.keep
@options.cleanup
@options.match
@options.workers
@options.common
@reader
def serve(run: Run, port: int, opened: bool, written: bytes | None) -> None:
    """Review the groups in a browser: hear copies side by side, decide, and clean up.

    Prints the address of the page, which only this user of this machine can open, and serves it until Ctrl-C. Nothing
    is fetched from elsewhere. Every decision is saved at once in a plan, as `reprise resolve -o FILE` does, and the two
    can be used by turns. A scan or a nightly run may go on meanwhile."""
    try:
        from jobs.serve.server import serve_pages
    except ModuleNotFoundError as error:
        raise UsageError(
            "reprise serve",
            f"{error.name} is not installed",
            remedy="Install the extra: pip install 'reprise-dedup[serve]'",
        ) from error
    serve_pages(run, port=port, opens=opened, plan=written)
