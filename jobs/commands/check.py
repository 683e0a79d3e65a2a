"""`reprise check`: verifies the store, and on request drops what is damaged."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, StoreDamagedError
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import Output, count_text
from jobs.session.run import Run, reader

if TYPE_CHECKING:
    from dedup.upkeep.check import Finding, Mended


@click.command("check", cls=Command)
@click.option("--repair", is_flag=True, help="Drop what is damaged, so that the next run redoes only that.")
@options.common
@reader
def check(run: Run, repair: bool) -> int:
    """Verify every checksum and invariant of the store, and that no finished tile is missing.

    Without --repair it lists everything that is wrong and changes nothing."""
    from dedup.upkeep.check import check_store

    checked = check_store(
        folder=run.settings.store,
        open_store=functools.partial(stores.for_writing if repair else stores.for_reading, run),
        repair=repair,
        purpose="reprise check --repair",
        observer=run.observer,
    )
    run.observer.close()
    if checked.mended is not None:
        _show_mended(run.output, checked.mended)
    damage = _show_findings(run.output, checked.findings)
    if checked.trouble is not None:
        raise checked.trouble
    if not damage:
        run.output.note("the store is sound")
        return EXIT_DONE
    if not repair:
        run.output.note(f"{count_text(len(damage), 'thing')} damaged; {_remedy(damage)}")
        return StoreDamagedError.exit_code
    run.output.note(f"{checked.n_dropped:,} dropped; run `reprise full` to redo what they held")
    return EXIT_DONE


def _show_mended(output: Output, mended: Mended) -> None:
    """What was damaged of the catalog, and what is in the new one."""
    _show_findings(output, mended.findings)
    output.note(f"{mended.damage.where}: {mended.damage.found}")
    rows = mended.rows
    if rows is None:
        return
    output.result({"event": "salvaged", **rows})
    kept = ", ".join(count_text(rows[table], table) for table in ("track", "fingerprint", "tile", "judgement"))
    told = f"made a new catalog from everything that could be read: {kept}"
    if mended.was_there:
        told += "; the damaged one is kept as catalog.db.damaged"
    if not rows["track"] and not rows["judgement"]:
        told += "; `reprise full` reads all files again, but your judgements of pairs are lost"
    if mended.to_name_again:
        told += f"; if you had done so before, {' and '.join(mended.to_name_again)} again"
    output.note(told)


def _show_findings(output: Output, findings: Sequence[Finding] | None) -> list[Finding]:
    """Shows them, unless there was no store to look at; gives those that are damage."""
    if findings is None:
        return []
    for finding in findings:
        output.result({"event": finding.kind, "name": finding.name, "text": finding.text})
        if not output.as_json:
            output.text(f"{finding.kind} {finding.name}: {finding.text}")
    damage = [finding for finding in findings if finding.is_damage]
    output.result({"event": "check", "damaged": len(damage), "notes": len(findings) - len(damage)})
    return damage


def _remedy(damage: Sequence[Finding]) -> str:
    if any(finding.kind == "catalog" for finding in damage):
        return "run `reprise check --repair`, which saves all it can read, then `reprise full`, which redoes the rest"
    return "run `reprise check --repair` to drop what is damaged; the next run redoes only that"
