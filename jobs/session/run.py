"""One run of a command: settings, output, progress, log, signals, and how it ends.

How a command is written (the body is: settings objects → one keyword call → print):

    @click.command("scan")
    @options.roots                      # sets the setting "roots"; read it with run.settings.roots()
    @options.scan                       # extensions … retry-failed, block-size
    @options.workers
    @options.deadline                   # --until --max-hours
    @options.common                     # --store --profile --json -q -v
    @session
    def scan(run: Run) -> int:
        '''Fingerprint what is new below ROOT….'''
        from dedup.scan.scan import scan as scan_library    # here: `reprise --help` need not load it

        roots = run.settings.roots()
        with stores.for_scanning(run, roots) as store, stores.workers(run, roots) as runner:
            summary = scan_library(store, roots, settings=run.settings.scan(), runner=runner, observer=run.observer)
            run.conclude(EXIT_SOME_FAILED if summary.failed else EXIT_DONE, scan_record(summary))
        run.observer.close()                # the last stage's line comes before the results
        show_problems(run.output, summary)  # the words are in jobs/show
        run.output.result({"event": "scan", **scan_record(summary)})    # --json only
        run.output.note(scan_text(summary))     # people only, not with -q
        return run.exit_code

A command's own options and arguments (FILE, --plot) reach the body as keywords; settings never do. The body
returns its exit code (None is 0). The store remembers what the body concludes while it holds the store. After a
first Ctrl-C the exit code is 130 whatever the body returns, and 4 if the time of `options.deadline` is up before
the work is done. Errors are raised and never printed: a RepriseError becomes one line and its exit
code, a full or read-only disk a WriteError, anything else a line that names the log with the traceback, and
exit 1. Log with `logging.getLogger("reprise")`, one line an event."""

from __future__ import annotations

import contextlib
import functools
import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from dedup import __version__
from dedup.clock import utc_now
from dedup.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_NOTHING_TO_DO,
    EXIT_SOME_FAILED,
    EXIT_TIME_UP,
    EXIT_USAGE,
    RepriseError,
    UsageError,
)
from dedup.runner import Stop
from jobs.session import options
from jobs.session.configuration import Configuration, settle
from jobs.session.deadline import Deadline
from jobs.session.failures import as_reprise_error, keep_traceback
from jobs.session.log import StoreLog
from jobs.session.notify import is_wanted, notify, without_secrets
from jobs.session.output import Output, OutputClosedError, abandon_stdout, complain, drain_stdout, one_line
from jobs.session.progress import Progress, make_progress
from jobs.session.published import Published
from jobs.session.run_settings import RunSettings
from jobs.session.signals import Signals

Parameters = ParamSpec("Parameters")
Body = Callable[Concatenate["Run", Parameters], int | None]
log = logging.getLogger("reprise")

RESUME = "stopped; what was done is kept: run the same command again to go on from there"
STOPPED_AT_ONCE = "stopped at once; what was committed is kept"
WORDS = {
    EXIT_DONE: "done",
    EXIT_SOME_FAILED: "done, but some failed",
    EXIT_NOTHING_TO_DO: "nothing to do",
    EXIT_INTERRUPTED: "interrupted",
}
"""Why a run ended, by its exit code."""


@dataclass
class Run:
    """What a command's body gets."""

    command: str
    settings: Configuration
    output: Output
    observer: Progress
    stop: Stop = field(default_factory=Stop)
    """Give it to the runner; requested by the first Ctrl-C or SIGTERM, or when the time is up."""
    verbose: bool = False
    last_words: str = RESUME
    """Message after a stop."""
    words_at_once: str = STOPPED_AT_ONCE
    """Message after a stop at once."""
    id: str = ""
    """Identifier in the log, and in the catalog if the command writes to it."""
    deadline: Deadline | None = None
    """Time at which the run stops by itself; only commands with `options.deadline` have limits."""
    notify: str | None = None
    """Command that receives the summary; None for commands without `options.notify`."""
    started: str = ""
    """Start of the run, UTC."""
    began: float = field(default_factory=time.monotonic)
    """Start of the run by `time.monotonic`, in seconds."""
    concluded: int | None = None
    summary: dict[str, Any] | None = None

    def conclude(self, code: int, summary: dict[str, Any] | None = None, complete: bool = False) -> None:
        """Records how the work ended: for the store, which is still held, and for `--notify`. If the work is
        `complete`, a deadline that passes meanwhile changes nothing."""
        if complete and self.deadline is not None:
            self.deadline.end()
        if self.stop.requested and not (complete and self.time_is_up):
            code = self.stopped_code()
        self.concluded, self.summary = code, summary

    @property
    def time_is_up(self) -> bool:
        """Whether the deadline was the first to request a stop."""
        return self.stop.time_is_up

    def stopped_code(self) -> int:
        """Exit code of a stop that was requested."""
        return EXIT_TIME_UP if self.time_is_up else EXIT_INTERRUPTED

    @property
    def exit_code(self) -> int:
        """Code that the run concluded with; without a conclusion, the code that says whether it was stopped."""
        if self.concluded is not None:
            return self.concluded
        return self.stopped_code() if self.stop.requested else EXIT_DONE

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.began, 3)


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
        except RepriseError as error:  # raised by the settings, before there is a log
            code = exit_code_of(error, as_json)
        context.exit(code)

    return callback


@contextlib.contextmanager
def _opened(context: click.Context, graceful: bool) -> Iterator[tuple[Run, StoreLog]]:
    given = options.given(context)
    quiet, verbose, as_json = (bool(given.get(name)) for name in ("quiet", "verbose", "json"))
    if quiet and verbose:
        raise UsageError("options -q and -v", "both are given", remedy="Give only one of them")
    settings = settle(given)
    observer = make_progress(quiet=quiet, verbose=verbose)
    output = Output(as_json, quiet, before=observer.pause)
    run = Run(str(context.info_name), settings, output, observer, verbose=verbose, started=utc_now())
    taken = {parameter.name for parameter in context.command.params}
    with StoreLog(settings.store, verbose) as store_log:
        run.id = store_log.run_id
        own = settings.of(RunSettings)
        limits = (own.until, own.max_hours) if graceful and "until" in taken else (None, None)
        run.deadline = Deadline(run.stop, observer.announce, *limits)
        names = {"run": run.id, "command": run.command, "started": run.started}
        published = Published(settings.store, names, observer, run.stop)
        with Signals(run.stop, observer.announce, graceful), run.deadline, published:
            if graceful and "notify" in taken:
                run.notify = own.notify
            yield run, store_log


def _conclude(run: Run, store_log: StoreLog, body: Body[Parameters], *args: Any, **kwargs: Any) -> int:
    """Runs the body and says how it ended: log, last words, exit code."""
    log.info("start reprise %s: %s", __version__, shlex.join(without_secrets(sys.argv[1:])) or run.command)
    error: BaseException | None = None
    try:
        code = body(run, *args, **kwargs) or EXIT_DONE
        run.observer.close()
        run.output.flush()
        if run.stop.requested and (run.exit_code == EXIT_TIME_UP or not run.time_is_up):
            code = _stopped(run)
    except click.exceptions.Exit as ended:
        run.observer.close()
        code = ended.exit_code
    except BaseException as raised:
        run.observer.close()
        told = run.output.as_json, store_log, run.settings.store, run.words_at_once
        error, code = raised, exit_code_of(raised, *told)
    why = why_it_ended(run, code, error)
    log.info("end: exit code %d after %.1f s: %s", code, run.seconds, why)
    if run.deadline is not None:
        run.deadline.end()
    if run.notify and not isinstance(error, KeyboardInterrupt):  # a person who stops it at once is there to see it
        _notify(run, code, why)
    return code


def _stopped(run: Run) -> int:
    code = run.stopped_code()
    run.output.result({"event": "stopped", "reason": run.stop.reason, "exit_code": code})
    complain(f"reprise: {run.stop.reason + '; ' if code == EXIT_TIME_UP else ''}{run.last_words}")
    return code


def why_it_ended(run: Run, code: int, error: BaseException | None = None) -> str:
    """In words, on one line."""
    if code == EXIT_TIME_UP:
        return run.stop.reason
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return run.words_at_once
    if error is None or isinstance(error, (SystemExit, OutputClosedError)):
        return WORDS.get(code, f"exit code {code}")
    if isinstance(error, click.ClickException):
        return one_line(error.format_message())
    known = as_reprise_error(error, run.settings.store)
    return one_line(str(known) if known else f"a bug: {type(error).__name__}: {error}")


def code_of(error: BaseException, store: Path | None) -> int:
    """The exit code of an exception; prints nothing."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_BUG
    if isinstance(error, OutputClosedError):
        return EXIT_DONE
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return EXIT_INTERRUPTED
    if isinstance(error, click.ClickException):
        return EXIT_USAGE
    known = as_reprise_error(error, store)
    return known.exit_code if known else EXIT_BUG


def _notify(run: Run, code: int, why: str) -> None:
    """Hands the summary to the command, if `notify-when` covers a run that ended like this."""
    found = (run.summary or {}).get("found") or {}
    told = (EXIT_DONE, EXIT_SOME_FAILED, EXIT_TIME_UP, EXIT_NOTHING_TO_DO, EXIT_INTERRUPTED)
    event = "failed" if code not in told else "new" if found.get("copies") else "ended"
    record = {
        "event": event,
        "command": run.command,
        "run": run.id,
        "store": str(run.settings.store),
        "started": run.started,
        "ended": utc_now(),
        "took_s": run.seconds,
        "exit_code": code,
        "why": why,
        **(run.summary or {}),
    }
    if run.notify and is_wanted(run.settings["notify-when"], event):
        notify(run.notify, record)


def exit_code_of(
    error: BaseException,
    as_json: bool = False,
    store_log: StoreLog | None = None,
    store: Path | None = None,
    at_once: str = STOPPED_AT_ONCE,
) -> int:
    """Reports an exception in one or two lines and returns the exit code. SystemExit was reported before, and is not
    reported again."""
    store = store or (store_log.folder if store_log else None)
    code = code_of(error, store)
    if isinstance(error, SystemExit):
        return code
    if isinstance(error, OutputClosedError):
        abandon_stdout()
        log.info("the reader of stdout has gone")
        return code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _tell(as_json, "Interrupted", at_once, code)
    if isinstance(error, click.ClickException):
        return _tell_usage(error, as_json)
    known = as_reprise_error(error, store)
    if known is None:
        where = keep_traceback(error, store_log)
        text = f"this is a bug: {type(error).__name__}: {error}; the traceback is in {where}, please report it"
        return _tell(as_json, "Bug", text, code)
    log.error("%s", known)
    drain_stdout()
    parts = {name: getattr(known, name) for name in ("where", "found", "expected", "remedy")}
    return _tell(as_json, type(known).__name__, str(known), code, **parts)


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
