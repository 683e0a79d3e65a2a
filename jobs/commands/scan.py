"""`reprise scan`: from folders to fingerprints in the store."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session import options, stores
from jobs.session.output import Output, count_text, path_text, time_text
from jobs.session.run import Run, session

if TYPE_CHECKING:
    from dedup.scan.scan import Scan

NAMED_IGNORED = 3
"""Files ignored for one reason that are named; of more, such as a library's covers, only the count is told."""

SHOWN_PROBLEMS = 40
"""Failed or skipped files that a summary lists; all of them are in the log, and with --json or -v on the screen."""


@click.command("scan")
@options.roots
@options.scan
@options.workers
@options.deadline
@options.common
@session
def scan(run: Run) -> int:
    """Find the audio files below each ROOT and fingerprint what is new or changed.

    Without ROOT the folders of the settings are scanned. Nothing is read of a file whose path, size and time of
    change are as they were."""
    from dedup.scan.scan import scan as scan_library

    roots = run.settings.roots()
    with stores.for_scanning(run, roots) as store, stores.workers(run, roots) as runner:
        summary = scan_library(store, roots, run.settings.scan(), runner, run.observer)
        run.conclude(EXIT_SOME_FAILED if summary.failed else EXIT_DONE, scan_record(summary))
    run.observer.close()
    show_problems(run.output, summary)
    run.output.result({"event": "scan", **scan_record(summary)})
    run.output.note(scan_text(summary))
    return run.exit_code


def scan_record(summary: Scan) -> dict[str, Any]:
    """The counts of a scan, for programs."""
    record = {field.name: getattr(summary, field.name) for field in fields(summary) if field.name != "problems"}
    record["new"] = summary.fingerprinted + summary.identical - summary.moved - summary.changed
    return record | {"seconds": {stage: round(spent, 3) for stage, spent in summary.seconds.items()}}


def scan_text(summary: Scan) -> str:
    """The counts of a scan, for people: they add up."""
    parts = [
        f"{summary.unchanged:,} unchanged",
        f"{summary.fingerprinted:,} fingerprinted",
        f"{summary.identical:,} identical",
        f"{summary.skipped:,} skipped",
        f"{summary.failed:,} failed",
    ]
    if summary.left:
        parts.append(f"{summary.left:,} left for the next run")
    lines = [f"files   {summary.discovered:,} discovered = {' + '.join(parts)}"]
    asides = {
        "damaged (decoded with gaps)": summary.damaged,
        "moved": summary.moved,
        "changed": summary.changed,
        "absent (kept)": summary.absent,
        "back after being absent": summary.returned,
        "with their tags read again": summary.renewed,
        "forgotten (no longer there or selected)": summary.forgotten,
        "not audio by their names": summary.ignored,
    }
    told = [f"{n:,} {what}" for what, n in asides.items() if n]
    if told:
        lines.append(f"        {', '.join(told)}")
    return "\n".join(lines)


def show_problems(output: Output, summary: Scan) -> None:
    """Every problem as an object with --json; for people the failed, damaged and skipped files, and the ignored ones by
    reason."""
    from dedup.report.export import named_path

    for problem in summary.problems:
        output.result({"event": problem.kind, **named_path("path", problem.path), "reason": problem.reason})
    for kind in ("failed", "damaged", "skipped"):
        found = [problem for problem in summary.problems if problem.kind == kind]
        for problem in found[:SHOWN_PROBLEMS]:
            output.note(f"{kind}: {path_text(problem.path)}: {problem.reason}")
        if len(found) > SHOWN_PROBLEMS:
            output.note(f"{kind}: {len(found) - SHOWN_PROBLEMS:,} more, listed in the log and with --json")
    ignored: dict[str, list[bytes]] = {}
    for problem in summary.problems:
        if problem.kind == "ignored":
            ignored.setdefault(problem.reason, []).append(problem.path)
    for reason, paths in sorted(ignored.items()):
        if len(paths) <= NAMED_IGNORED:
            for path in paths:
                output.note(f"ignored: {path_text(path)}: {reason}")
        else:
            output.note(f"ignored: {count_text(len(paths), 'file')}: {reason}")


def stages_text(seconds: dict[str, float]) -> str:
    return ", ".join(f"{stage} {time_text(spent)}" for stage, spent in seconds.items())
