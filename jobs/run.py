"""One run of a command: settings, output, progress, log, signals, and how it ends.

How a command is written (the body is: settings objects → one keyword call → print):

    @click.command("scan")
    @options.roots                      # sets the setting "roots"; read it with run.settings.roots()
    @options.scan                       # extensions … retry-failed, block-size
    @options.workers
    @options.common                     # --store --profile --json -q -v
    @session
    def scan(run: Run) -> int:
        '''Fingerprint what is new below ROOT….'''
        with stores.for_scanning(run) as store, stores.workers(run) as runner:
            summary = scan_library(store, run.settings.roots(), run.settings.scan(), runner, run.observer)
        run.observer.close()
        run.observer.close()                # the last stage's line comes before the results
        run.output.result({"event": "scan", **asdict(summary)})     # --json only
        run.output.note(f"{summary.fingerprinted:,} fingerprinted")  # people only, not with -q
        return EXIT_SOME_FAILED if summary.failed else EXIT_DONE

A command's own options and arguments (FILE, --plot) reach the body as keywords; settings never do. The body
returns its exit code (None is 0); after a first Ctrl-C the exit code is 130 whatever it returns. Errors are
raised and never printed: a RepriseError becomes one line and its exit code, a full or read-only disk a
WriteError, anything else a line that names the log with the traceback, and exit 1. Log with
`logging.getLogger("reprise")`, one line an event."""

from __future__ import annotations

import contextlib
import functools
import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec

import click

from dedup import __version__
from dedup.errors import EXIT_BUG, EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, RepriseError, UsageError
from dedup.runner import Stop
from jobs import options
from jobs.configuration import Configuration, settle
from jobs.failures import as_reprise_error, keep_traceback
from jobs.log import StoreLog
from jobs.output import Output, OutputClosedError, abandon_stdout, complain, settle_stdout
from jobs.progress import Progress, make_progress
from jobs.signals import Signals

Parameters = ParamSpec("Parameters")
Body = Callable[Concatenate["Run", Parameters], int | None]
log = logging.getLogger("reprise")

RESUME = "stopped; what was done is kept: run the same command again to go on from there"


@dataclass
class Run:
    """What a command's body gets."""

    command: str
    settings: Configuration
    output: Output
    observer: Progress
    stop: Stop = field(default_factory=Stop)
    """Give it to the runner; requested by the first Ctrl-C or SIGTERM."""
    verbose: bool = False
    last_words: str = RESUME
    """What is said after a stop."""


def session(body: Body[Parameters]) -> Callable[Parameters, None]:
    """Makes a click callback of a command's body; see the top of this page."""
    return _callback(body, graceful=True)


def reader(body: Body[Parameters]) -> Callable[Parameters, None]:
    """The same for a command that has nothing to finish: the first signal ends it."""
    return _callback(body, graceful=False)


def _callback(body: Body[Parameters], graceful: bool) -> Callable[Parameters, None]:
    @functools.wraps(body)
    def callback(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        context = click.get_current_context()
        as_json = bool(options.given(context).get("json"))
        try:
            with _opened(context, graceful) as (run, store_log):
                code = _conclude(run, store_log, body, *args, **kwargs)
        except RepriseError as error:  # of the settings: there is no log yet
            code = exit_code_of(error, as_json)
        context.exit(code)

    return callback


@contextlib.contextmanager
def _opened(context: click.Context, graceful: bool) -> Iterator[tuple[Run, StoreLog]]:
    given = options.given(context)
    quiet, verbose, as_json = (bool(given.get(name)) for name in ("quiet", "verbose", "json"))
    if quiet and verbose:
        raise UsageError("options -q and -v", "both are given", "one of them")
    settings = settle(given)
    observer = make_progress(quiet=quiet, verbose=verbose)
    output = Output(as_json, quiet, before=observer.pause)
    run = Run(str(context.info_name), settings, output, observer, verbose=verbose)
    with StoreLog(settings.store, verbose) as store_log, Signals(run.stop, observer.announce, graceful):
        yield run, store_log


def _conclude(run: Run, store_log: StoreLog, body: Body[Parameters], *args: Any, **kwargs: Any) -> int:
    """Runs the body and says how it ended: log, last words, exit code."""
    started = time.monotonic()
    log.info("start reprise %s: %s", __version__, shlex.join(sys.argv[1:]) or run.command)
    try:
        code = body(run, *args, **kwargs) or EXIT_DONE
        run.observer.close()
        run.output.flush()
        if run.stop.requested:
            code = EXIT_INTERRUPTED
            run.output.result({"event": "stopped", "reason": run.stop.reason, "exit_code": code})
            complain(f"reprise: {run.last_words}")
    except click.exceptions.Exit as ended:
        run.observer.close()
        code = ended.exit_code
    except BaseException as error:
        run.observer.close()
        code = exit_code_of(error, run.output.as_json, store_log)
    log.info("end: exit code %d after %.1f s", code, time.monotonic() - started)
    return code


def exit_code_of(error: BaseException, as_json: bool = False, store_log: StoreLog | None = None) -> int:
    """Tells an exception in one or two lines and returns the exit code. Nothing is told twice: SystemExit
    passes."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_BUG
    if isinstance(error, OutputClosedError):
        abandon_stdout()
        log.info("whoever read stdout has gone")
        return EXIT_DONE
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _tell(as_json, "Interrupted", "stopped at once; what was committed is kept", EXIT_INTERRUPTED)
    if isinstance(error, click.ClickException):
        return _tell_usage(error, as_json)
    known = as_reprise_error(error, store_log.folder if store_log else None)
    if known is None:
        where = keep_traceback(error, store_log)
        text = f"this is a bug: {type(error).__name__}: {error}; the traceback is in {where}, please report it"
        return _tell(as_json, "Bug", text, EXIT_BUG)
    log.error("%s", known)
    settle_stdout()
    parts = {name: getattr(known, name) for name in ("where", "found", "expected", "remedy")}
    return _tell(as_json, type(known).__name__, str(known), known.exit_code, **parts)


def _tell_usage(error: click.ClickException, as_json: bool) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "reprise"
    return _tell(as_json, "UsageError", f"{error.format_message()} (see {path} --help)", EXIT_USAGE)


def _tell(as_json: bool, kind: str, message: str, exit_code: int, **parts: str) -> int:
    complain(f"reprise: {message}")
    if as_json:
        record = {"event": "error", "kind": kind, "message": message, **parts, "exit_code": exit_code}
        try:
            Output(as_json=True).result(record)
        except (OutputClosedError, RepriseError):
            abandon_stdout()
    return exit_code
