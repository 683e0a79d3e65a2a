"""Verifies a store: every checksum, every invariant of FORMAT.md, every tile that must exist. A repair drops what is
damaged."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dedup.correlation.correlate import completeness
from dedup.errors import CatalogDamagedError, StoreDamagedError
from dedup.files.paths import printable
from dedup.servers import evidence
from dedup.settings import CompareSettings
from dedup.store.catalog import Catalog
from dedup.store.commit_log import has_log, log_of, lost_commits
from dedup.store.database import damaged, is_damage
from dedup.store.fingerprints import SealedRow, Unsealed
from dedup.store.items import Items, items_digest, n_distinct
from dedup.store.layout import Layout, is_locked, was_killed
from dedup.store.ledgers import problems
from dedup.store.meta import STAMP
from dedup.store.plan_key import is_damaged
from dedup.store.results import TileResult
from dedup.store.tiles import plan_tiles
from dedup.upkeep.pairs import tile_problem
from dedup.upkeep.rows import NAMED, PROBLEMS, compare_settings, problems_of_meta, to_name_again
from dedup.upkeep.salvage import mend_catalog

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.store.store import Store


Kind = (
    Literal["catalog", "root", "block", "fingerprint", "audio", "track", "probe", "tile", "judgement", "null test"]
    | Literal["comparison", "pitches", "lookup", "naming", "measurement", "back-up", "run", "meta", "clean-up", "note"]
)

ROWS: dict[str, Kind] = {
    "meta": "meta",
    "audio": "audio",
    "track": "track",
    "probe": "probe",
    "tile": "tile",
    "judgement": "judgement",
    "run": "run",
    "nulltest": "null test",
    "comparison": "comparison",
    "pitches": "pitches",
    "lookup": "lookup",
    "naming": "naming",
    "measurement": "measurement",
    "backed_up": "back-up",
}
"""Kind of a finding about a row, by its table. A fingerprint in a block counts as damage of that block."""


@dataclass(frozen=True)
class Finding:
    """One violation of the format."""

    kind: Kind
    """Kind of the finding. A "note" is not damage: the next run takes care of it. Only a new catalog repairs a
    "catalog"; nothing repairs a "clean-up"."""
    name: str
    """Key of the row in text: name of the block or tile, id of the fingerprint, audio, track or run, path of the probe,
    contents of the judgement or null test, digests of the comparison, fingerprint of the pitches, subject and service
    of the lookup, subject of the naming, audio of the measurement, source and id of
    the back-up, key of `meta`; table of the catalog."""
    text: str
    key: tuple[Any, ...] = ()
    """Primary key of the row to drop."""

    @property
    def is_damage(self) -> bool:
        """Whether something must be dropped or made anew."""
        return self.kind != "note"


@dataclass(frozen=True)
class Mended:
    """The damaged catalog of a store that was to be repaired."""

    damage: CatalogDamagedError
    findings: tuple[Finding, ...] | None
    """Findings while the catalog was damaged; None if the store could not be opened then."""
    rows: dict[str, int] | None
    """Rows of the new catalog, by table; None if none could be made."""
    was_there: bool
    """Whether there was a catalog with anything in it, which is kept under another name."""
    to_name_again: tuple[str, ...] = ()
    """What the new catalog does not know, and a person has to name again if the damaged one knew it."""


@dataclass(frozen=True)
class Checked:
    """What a check found, and what its repair did."""

    findings: tuple[Finding, ...] | None
    """Findings, after a new catalog was made if that was needed; None if the store could not be opened."""
    n_dropped: int = 0
    """Damaged things that were dropped."""
    mended: Mended | None = None
    """Damaged catalog that came first; None if the catalog was sound enough, or nothing was to be repaired."""
    trouble: Exception | None = None
    """What went wrong when all this was known; reported after it."""


def check_store(
    *,
    folder: Path,
    open_store: Callable[[], contextlib.AbstractContextManager[Store]],
    repair: bool,
    purpose: str,
    observer: Observer,
) -> Checked:
    """Checks the store in `folder`, as `open_store` opens it; with `repair` drops what is damaged. For a damaged
    catalog a new one is made first, under a lock in the name of `purpose`, and the store is checked again. Raises
    nothing that goes wrong: it is the `trouble` of the result."""
    checked = _check_once(open_store, repair, observer)
    if not repair or not isinstance(checked.trouble, CatalogDamagedError):
        return checked
    catalog = Layout(folder).catalog
    was_there = catalog.exists() and catalog.stat().st_size > 0
    mended = Mended(checked.trouble, checked.findings, None, was_there)
    try:
        rows = mend_catalog(folder, purpose)
        mended = replace(mended, rows=rows, to_name_again=_lost_names(catalog) if was_there else ())
    except Exception as error:
        return Checked(None, mended=mended, trouble=error)
    return replace(_check_once(open_store, repair, observer), mended=mended)


def _lost_names(path: Path) -> tuple[str, ...]:
    with contextlib.closing(Catalog(path, writable=False)) as catalog:
        known = {key for key, _ in catalog.meta.sound()}
    return tuple(text for key, text in NAMED.items() if key not in known)


def _check_once(
    open_store: Callable[[], contextlib.AbstractContextManager[Store]], with_repair: bool, observer: Observer
) -> Checked:
    findings: tuple[Finding, ...] | None = None
    n_dropped = 0
    try:
        with open_store() as store:
            findings = tuple(check(store, observer))
            n_damaged = sum(finding.is_damage and finding.kind != "clean-up" for finding in findings)
            if with_repair and n_damaged:
                repair(store, findings)
                n_dropped = n_damaged
    except Exception as error:
        return Checked(findings, n_dropped, trouble=error)
    return Checked(findings, n_dropped)


def check(store: Store, observer: Observer) -> list[Finding]:
    """Everything that is wrong, as of one moment; repairs nothing."""
    steps: tuple[Callable[[Store, Observer], Iterator[Finding]], ...] = (
        _check_catalog,
        _check_log,
        _check_root,
        _check_rows,
        _check_blocks,
        _check_tail,
        _check_tiles,
        _check_complete,
        _check_ledgers,
        _check_beside,
        _check_waiting,
    )
    findings: list[Finding] = []
    try:
        with store.catalog.snapshot():
            for step in steps:
                findings.extend(step(store, observer))
        findings = list({(finding.kind, finding.name): finding for finding in reversed(findings)}.values())[::-1]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        findings.append(Finding("catalog", store.layout.catalog.name, f"cannot be read: {error}"))
    return findings


def repair(store: Store, findings: Sequence[Finding]) -> None:
    """Drops what is damaged, and whatever depends on it, so that the next run redoes only that: for a block or a
    fingerprint its tracks and tiles, of a tile its result; a null test is made again, and a judgement is to be given
    again. Raises CatalogDamagedError if the catalog itself is damaged: `salvage.mend_catalog` comes first."""
    for finding in findings:
        if finding.kind == "catalog":
            raise damaged(store.layout.catalog, finding.text)
    with store.catalog.transaction():
        for finding in findings:
            _drop(store.catalog, finding)
        if any(finding.kind in ("tile", "block") for finding in findings):
            store.catalog.meta.drop("complete")
    for table in store.catalog.words:
        if any(finding.name == table.waiting.set_aside.name for finding in findings):
            table.waiting.forget_set_aside()
    if any(finding.kind == "root" for finding in findings):
        store.blocks.create(store.root_attributes)
    store.tidy()


def _drop(catalog: Catalog, finding: Finding) -> None:
    if finding.kind == "audio":
        catalog.tracks.drop_of_audio(*finding.key)
    if finding.kind == "fingerprint":
        _drop_fingerprints(catalog, finding.key)
    elif finding.kind == "block":
        catalog.results.drop_of([finding.name])
        _drop_fingerprints(catalog, catalog.fingerprints.all_ids_of_block(finding.name))
        catalog.blocks.drop([finding.name])
    for table in catalog.sealed_tables:
        if ROWS.get(table.name) == finding.kind and finding.key:
            table.drop_row(finding.key)


def _drop_fingerprints(catalog: Catalog, fingerprints: Sequence[int]) -> None:
    catalog.tracks.drop_of(fingerprints)
    catalog.audios.drop_of(fingerprints)
    catalog.fingerprints.drop(fingerprints)


def _check_catalog(store: Store, _: Observer) -> Iterator[Finding]:
    for table, text in store.catalog.problems():
        yield Finding("catalog", table, text)


def _check_log(store: Store, _: Observer) -> Iterator[Finding]:
    """Commits that a killed writer made and that are lost. While a writer has the store there are none."""
    layout = store.layout
    if is_locked(layout):
        return
    lost = lost_commits(layout.catalog)
    if lost is not None:
        yield Finding("note", log_of(layout.catalog).name, str(lost))
    elif was_killed(layout) and not has_log(layout.catalog):
        text = "missing, although a writer was killed: what it committed last may be lost; `reprise full` redoes it"
        yield Finding("note", log_of(layout.catalog).name, f"{text}, except judgements")


def _check_root(store: Store, _: Observer) -> Iterator[Finding]:
    if not store.blocks.is_created(store.root_attributes):
        yield Finding("root", store.layout.blocks.name, "its zarr.json is missing or does not repeat the store's stamp")


def _check_rows(store: Store, _: Observer) -> Iterator[Finding]:
    """Rows that do not match their digest, or that match it and make no sense."""
    catalog = store.catalog
    for table in catalog.sealed_tables:
        problems_of = PROBLEMS.get(table.name)
        for is_sound, row in table.with_verdict():
            text = "does not match its digest"
            if is_sound:
                text = next(problems_of(row), "") if problems_of else ""
            if not text:
                continue
            if table is catalog.meta and row[0] in STAMP:
                yield Finding("catalog", table.name, f"{row[0]} {text}")
            elif table is catalog.meta:
                again = to_name_again(row[0])
                yield Finding("meta", table.title(row), f"{text}; {again}" if again else text, row[:1])
            elif table is catalog.blocks or (table is catalog.fingerprints and row[4] is not None):
                block = row[0] if table is catalog.blocks else row[4]
                yield Finding("block", str(block), f"a row of table {table.name} {text}{_resting_on(store, block)}")
            elif table is catalog.fingerprints:
                yield Finding("fingerprint", table.title(row), text, row[:1])
            else:
                yield Finding(ROWS[table.name], table.title(row), text, row[: table.keys])


def _check_blocks(store: Store, observer: Observer) -> Iterator[Finding]:
    known = {name: (n_rows, n_items) for name, n_rows, n_items in store.catalog.blocks.sound()}
    observer.stage("check blocks", len(known), "blocks")
    for name, (n_rows, n_items) in sorted(known.items()):
        text = _block_problem(store, name, n_rows, n_items)
        if text is not None and not _is_compacted_away(store, name):
            yield Finding("block", name, text + _resting_on(store, name))
        observer.advance()
    for name in sorted(store.blocks.names() - store.catalog.blocks.names()):
        yield Finding("note", name, "not in the catalog, left by a killed run; the next run removes it")
    for name in sorted(store.blocks.unfinished()):
        yield Finding("note", name, "half written, by a run that is going or was killed; the next run removes it")


def _block_problem(store: Store, name: str, n_rows: int, n_items: int) -> str | None:
    try:
        block = store.blocks.read(name)
    except StoreDamagedError as error:
        return error.found
    if (block.n_rows, len(block.items)) != (n_rows, n_items):
        found = f"{block.n_rows} rows and {len(block.items)} items"
        return f"has {found}, but the catalog says {n_rows} and {n_items}"
    rows = store.catalog.fingerprints.sound_of_block(name)
    if [row.row for row in rows] != list(range(n_rows)):
        return "the catalog does not know each of its rows once"
    for row in rows:
        if not _is_fingerprint(block.row(row.row), row):
            return f"row {row.row} is not the fingerprint that the catalog knows"
    return None


def _is_compacted_away(store: Store, block: str) -> bool:
    """Whether another process has merged the block into another one since the moment of our snapshot."""
    with contextlib.closing(Catalog(store.layout.catalog, writable=False)) as now:
        return block not in now.blocks.names()


def _resting_on(store: Store, block: str) -> str:
    """The cost of a repair: the next scan brings scanned tracks back; imported ones must be imported again."""
    n_tracks, n_imported = store.catalog.tracks.count_resting_on(block)
    again = f", {n_imported:,} of them imported: import those again after a repair" if n_imported else ""
    return f"; {n_tracks:,} tracks depend on it{again}"


def _is_fingerprint(items: Items, told: SealedRow | Unsealed) -> bool:
    return (len(items), items_digest(items), n_distinct(items)) == (told.n_items, told.digest, told.n_distinct)


def _check_tail(store: Store, _: Observer) -> Iterator[Finding]:
    for told in store.catalog.fingerprints.unsealed():
        if told.block is not None:
            yield Finding("fingerprint", str(told.id), "both in a block and in the tail", (told.id,))
        elif told.items is None:
            yield Finding("fingerprint", str(told.id), "neither in a block nor in the tail", (told.id,))
        elif (
            type(told.items) is not bytes
            or len(told.items) % 4
            or not _is_fingerprint(np.frombuffer(told.items, "<u4"), told)
        ):
            yield Finding("fingerprint", str(told.id), "its items in the tail do not match its digest", (told.id,))


def _check_tiles(store: Store, _: Observer) -> Iterator[Finding]:
    meta, lengths = _sound_meta(store), store.catalog.fingerprints.row_lengths()
    for tile in (TileResult(*row) for row in store.catalog.results.sound()):
        compare = compare_settings(meta.get(f"compare {tile.settings}"), tile.settings)
        text = tile_problem(tile, compare, lengths)
        if text is not None:
            yield Finding("tile", tile.name, text, (tile.name,))


def _sound_meta(store: Store) -> dict[str, Any]:
    """The values of `meta` that can be read."""
    return {row[0]: json.loads(row[1]) for row in store.catalog.meta.sound() if not any(problems_of_meta(row))}


def _check_waiting(store: Store, _: Observer) -> Iterator[Finding]:
    """What people said while another process held the store, and lines of it that cannot be read."""
    for table in store.catalog.words:
        kind, waiting = ROWS[table.name], table.waiting
        read = waiting.read()
        if read.waiting:
            n = len(read.waiting)
            count, them = (f"1 {kind} waits", "it") if n == 1 else (f"{n:,} {kind}s wait", "them")
            text = f"{count}: readers see {them}, and the next run that writes takes {them} in"
            yield Finding("note", waiting.path.name, text)
        for file, lines in ((waiting.path, read.damaged), (waiting.set_aside, waiting.set_aside_lines())):
            if lines:
                shown = printable(b" ".join(lines)[:MOST_SHOWN])
                text = f"{len(lines):,} of its lines cannot be read: give these {kind}s again ({shown})"
                yield Finding(kind, file.name, text)


MOST_SHOWN = 300
"""Bytes of damaged lines that are shown: one line and a half."""


def _check_ledgers(store: Store, _: Observer) -> Iterator[Finding]:
    for name, text in problems(store.layout.folder):
        yield Finding("clean-up", name, f"{text}; no repair restores it: take it from a backup, or it cannot be undone")


def _check_beside(store: Store, _: Observer) -> Iterator[Finding]:
    if is_damaged(store.layout):
        text = "does not match its digest; the next plan makes another, and entries of plans before it count as edited"
        yield Finding("note", store.layout.plan_key.name, text)
    if problem := evidence.problem(store.layout):
        yield Finding("note", store.layout.listeners.name, f"{problem}; the next plan asks the media servers again")


def _check_complete(store: Store, _: Observer) -> Iterator[Finding]:
    """Tiles without a result: damage if a `correlate` recorded that it left none, otherwise work to do."""
    blocks, meta = store.catalog.blocks.names(), _sound_meta(store)
    if "compare" not in meta:
        return
    compare = CompareSettings(**meta["compare"])
    is_complete, n_missing = meta.get("complete") == completeness(blocks, compare), 0
    for each in compare.passes:
        done = store.catalog.results.names(each.digest())
        for tile in plan_tiles(blocks, each):
            if tile.name in done:
                continue
            n_missing += 1
            if is_complete:
                yield Finding("tile", tile.name, f"missing: blocks {tile.block_a} and {tile.block_b}", (tile.name,))
    if n_missing and not is_complete:
        yield Finding("note", "tiles", f"{n_missing:,} tiles are not computed yet; `reprise correlate` does them")
