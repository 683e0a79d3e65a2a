"""`reprise gate`: is what a new file holds already in the library?"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dedup.errors import (
    EXIT_DONE,
    EXIT_NOTHING_TO_DO,
    EXIT_SOME_FAILED,
    EXIT_TIME_UP,
    GateBusyError,
    GateClosedError,
    UsageError,
)
from jobs.session import gates, options, stores
from jobs.session.helping import Command
from jobs.session.run import Run, reader, session

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.gate.gate import Gate
    from dedup.gate.nouns import Answer, Decision

FILE = click.Path(path_type=bytes)

_deciding = options.together(options.gate, options.common)
_place = options.together(
    click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="The gate is at this port of 127.0.0.1."),
    click.option(
        "--socket",
        "name",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The gate is at this Unix socket.  [default: gate/socket in the store]",
    ),
)


@click.group("gate")
def gate() -> None:
    """Say whether the library has what a new file holds."""


@gate.command("check", cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@_deciding
@reader
def check(run: Run, files: tuple[bytes, ...]) -> int:
    """Say of each FILE whether the library has what it holds: import, duplicate, better, other version, unusable or
    known.

    Reads the files and the store and changes neither; a scan or a nightly run may go on meanwhile. The exit code is 0
    for import, 6 duplicate, 7 better, 8 other version, 3 unusable, 5 known; for a better file or another version it is
    0 or 6 if --on-better or --on-other says import or reject. Of several files, the first in the order 3, 7, 8, 6, 0, 5
    counts."""
    return _checked(run, files)


def _checked(run: Run, files: tuple[bytes, ...]) -> int:
    """Decides about files in this process; gives the exit code."""
    from jobs.show.gate import code_of, counted, exit_code_of

    answers: Counter[Answer] = Counter()
    codes = set()
    with _opened(run, 1) as (opened, _):
        for file in files:
            decision = opened.check(file)
            _tell(run, decision, answers)
            codes.add(code_of(decision))
    if len(files) > 1:
        run.output.note(counted(answers))
    return exit_code_of(codes)


@gate.command("ask", cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@_place
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for each answer.",
)
@_deciding
@reader
def ask(run: Run, files: tuple[bytes, ...], port: int | None, name: Path | None, wait_s: float) -> int:
    """Ask the open gate about each FILE; if none is open, say what `check` says.

    The gate decides by its own settings, and keeps what is to be imported reserved, so that of two files of one
    recording one is imported. The exit code is that of `check`, and 4 if an answer is not there in time."""
    from jobs.serve.gate_client import Address, GateClient
    from jobs.show.gate import answer_line, code_of_record, exit_code_of

    client = GateClient(Address(Path(run.settings.store), port, name))
    try:
        told = client.ask([os.path.abspath(file) for file in files], wait_s)
    except GateClosedError as error:
        if port is not None or name is not None or isinstance(error, GateBusyError):
            raise
        run.output.note(f"{error.where} is not open, so its reservations are not known")
        return _checked(run, files)
    for each in told:
        run.output.result({"event": "decision", **each})
        if not run.output.as_json and each["answer"] is not None:
            run.output.laid([answer_line(each, run.output.look)])
    if any(each["answer"] is None for each in told):
        run.output.note(f"no answer within {wait_s:g} s")
        return EXIT_TIME_UP
    return exit_code_of({code_of_record(each) for each in told})


@gate.command("imported", cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--id", "id_", type=click.IntRange(1), metavar="N", help="The question that was asked about the file.")
@_place
@options.common
@reader
def imported(run: Run, files: tuple[bytes, ...], id_: int | None, port: int | None, name: Path | None) -> None:
    """Tell the open gate that each FILE is imported, and where it is now."""
    from jobs.serve.gate_client import Address, GateClient

    if id_ is not None and len(files) > 1:
        raise UsageError("option --id", "several files are given", remedy="Give one file with it")
    client = GateClient(Address(Path(run.settings.store), port, name))
    for file in files:
        run.output.result({"event": "imported", "id": client.imported(os.path.abspath(file), id_)})


@gate.command("backfill", cls=Command)
@click.argument("folder", type=FILE)
@options.discover
@_deciding
@session
def backfill(run: Run, folder: bytes) -> int:
    """Decide a whole FOLDER of files that are not imported yet, against the library and against each other.

    Reads all of them first. Of several that hold one recording, the best by the keep rules gets the answer that it
    would get alone, of equal ones the newest, and the others are duplicates of it. Nothing is moved or changed. The
    exit code is 0, or 3 if files cannot be used, or 5 if there are none."""
    from cluster.place import count_cores
    from dedup.gate.backfill import backfill as decide_all
    from dedup.library.discover import discover
    from jobs.show.gate import counted

    store = [bytes(run.settings.store)]
    found = discover([folder], run.settings.scan().discover, run.observer, store)
    paths = [candidate.path for candidate in found.candidates]
    answers: Counter[Answer] = Counter()
    n = count_cores()
    if paths:
        with _opened(run, n) as (opened, standby):
            for decision in decide_all(opened, standby, paths, n, run.observer):
                if run.stop.requested:
                    break
                _tell(run, decision, answers)
    run.observer.close()
    run.output.result({"event": "summary", "files": len(paths), "answers": dict(answers)})
    if answers:
        run.output.note(counted(answers))
    if not paths:
        run.output.note("no audio file is there")
        return EXIT_NOTHING_TO_DO
    return EXIT_SOME_FAILED if answers["unusable"] or found.unlisted else EXIT_DONE


@gate.command("serve", cls=Command)
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Listen on this port of 127.0.0.1; 0: any.")
@click.option(
    "--socket",
    "name",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Listen on this Unix socket.  [default: gate/socket in the store]",
)
@click.option(
    "--reserve",
    "reserved_s",
    type=click.FloatRange(1),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Keep a recording reserved for so long until it is imported.",
)
@click.option(
    "--rest",
    "rest_s",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="A file of an inbox is whole if it has not changed for so long and nobody has it open to write.",
)
@options.inbox
@options.discover
@_deciding
@session
def serve(
    run: Run,
    port: int | None,
    name: Path | None,
    reserved_s: float,
    rest_s: float,
) -> None:
    """Keep the gate open for other programs: an API over HTTP, until Ctrl-C.

    Whoever asks about a file gets one answer; of two files of one recording that come at the same time one is to be
    imported. What was asked survives a kill. Each answer is printed too: with --json, an object a line. Only this user
    can reach the socket; a port needs the token in the store's file gate/token."""
    try:
        from jobs.serve.gate_server import Door, serve_gate
    except ModuleNotFoundError as error:
        found, remedy = f"{error.name} is not installed", "Install Reprise with its extra `serve`"
        raise UsageError("reprise gate serve", found, remedy=remedy) from error
    from cluster.place import count_cores
    from dedup.cleanup.arrivals import Places
    from dedup.gate.keeper import Terms

    if port is not None and name is not None:
        raise UsageError("options --port and --socket", "both are given", remedy="Give only one of them")
    with stores.for_reading(run) as store:
        n = gates.prepared(run, store, count_cores())
    match, scan = run.settings.match(), run.settings.scan()
    arriving = run.settings.inbox()
    places = Places(arriving.inbox, arriving.accept, arriving.reject)
    serve_gate(run, Door(port, name, places, rest_s), Terms(match, gates.policy_of(run), scan, n, reserved_s))


def _tell(run: Run, decision: Decision, answers: Counter[Answer]) -> None:
    """Shows a decision and counts it."""
    from dedup.gate.record import decision_record
    from jobs.show.gate import decision_line

    answers[decision.answer] += 1
    run.output.result({"event": "decision", **decision_record(decision)})
    if not run.output.as_json:
        run.output.laid([decision_line(decision, run.output.look)])


@contextlib.contextmanager
def _opened(run: Run, n: int) -> Iterator[tuple[Gate, Standby]]:
    """A gate by the settings of this run, with `n` processes that read files."""
    with stores.for_reading(run) as store, gates.opened(run, store, n) as opened:
        yield opened
