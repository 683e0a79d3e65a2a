"""`reprise check`: verifies the store, and on request drops what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, CatalogDamagedError, StoreDamagedError
from jobs.session import options, stores
from jobs.session.output import count_text
from jobs.session.run import Run, reader

if TYPE_CHECKING:
    from dedup.upkeep.check import Finding


def _remedy(damage: list[Finding]) -> str:
    if any(finding.kind == "catalog" for finding in damage):
        return "run `reprise check --repair`, which saves all it can read, then `reprise full`, which redoes the rest"
    return "run `reprise check --repair` to drop what is damaged; the next run redoes only that"


@click.command("check")
@click.option("--repair", is_flag=True, help="Drop what is damaged, so that the next run redoes only that.")
@options.common
@reader
def check(run: Run, repair: bool) -> int:
    """Verify every checksum and invariant of the store, and that no finished tile is missing.

    Without --repair it lists everything that is wrong and changes nothing."""
    if not repair:
        return _check(run, repair)
    try:
        return _check(run, repair)
    except CatalogDamagedError as damaged:
        _mend_catalog(run, damaged)
        return _check(run, repair)


def _mend_catalog(run: Run, damaged: CatalogDamagedError) -> None:
    """Replaces the damaged catalog by a new one, and reports what is in it."""
    from dedup.store.layout import Layout
    from dedup.upkeep.salvage import mend_catalog

    catalog = Layout(run.settings.store).catalog
    was_there = catalog.exists() and catalog.stat().st_size > 0
    run.output.note(f"{damaged.where}: {damaged.found}")
    rows = mend_catalog(run.settings.store, "reprise check --repair")
    run.output.result({"event": "salvaged", **rows})
    kept = ", ".join(count_text(rows[table], table) for table in ("track", "fingerprint", "tile", "judgement"))
    told = f"made a new catalog from everything that could be read: {kept}"
    if was_there:
        told += "; the damaged one is kept as catalog.db.damaged"
    if not rows["track"] and not rows["judgement"]:
        told += "; `reprise full` reads all files again, but your judgements of pairs are lost"
    run.output.note(told)


def _check(run: Run, repair: bool) -> int:
    from dedup.upkeep.check import check as check_store
    from dedup.upkeep.check import repair as repair_store

    opened = stores.for_writing(run) if repair else stores.for_reading(run)
    with opened as store:
        findings = check_store(store, observer=run.observer)
        run.observer.close()
        for finding in findings:
            run.output.result({"event": finding.kind, "name": finding.name, "text": finding.text})
            if not run.output.as_json:
                run.output.text(f"{finding.kind} {finding.name}: {finding.text}")
        damage = [finding for finding in findings if finding.kind != "note"]
        run.output.result({"event": "check", "damaged": len(damage), "notes": len(findings) - len(damage)})
        if not damage:
            run.output.note("the store is sound")
            return EXIT_DONE
        if not repair:
            run.output.note(f"{count_text(len(damage), 'thing')} damaged; {_remedy(damage)}")
            return StoreDamagedError.exit_code
        repair_store(store, findings)
        run.output.note(f"{len(damage):,} dropped; run `reprise full` to redo what they held")
        return EXIT_DONE
