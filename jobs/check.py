"""`reprise check`: verifies the store, and on request drops what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, StoreDamagedError
from jobs import options, stores
from jobs.output import count_text
from jobs.run import Run, reader

if TYPE_CHECKING:
    from dedup.store.check import Finding


def _remedy(damage: list[Finding]) -> str:
    if any(finding.kind == "catalog" for finding in damage):
        return "the catalog cannot be repaired: restore the store from a backup, or remove its folder and scan again"
    return "`reprise check --repair` drops what is damaged, and the next run redoes just that"


@click.command("check")
@click.option("--repair", is_flag=True, help="Drop what is damaged, so that the next run redoes just that.")
@options.common
@reader
def check(run: Run, repair: bool) -> int:
    """Verify every checksum and invariant of the store, and that no finished tile is missing.

    Lists all that is wrong and changes nothing, unless --repair is given."""
    from dedup.store.check import check as check_store
    from dedup.store.check import repair as repair_store

    opened = stores.for_writing(run) if repair else stores.for_reading(run)
    with opened as store:
        findings = check_store(store, run.observer)
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
        run.output.note(f"{len(damage):,} dropped; `reprise full` redoes just what they held")
        return EXIT_DONE
