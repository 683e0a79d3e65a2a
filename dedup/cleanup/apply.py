"""Carries out a plan: checks each entry, writes it to the journal, does it, and enters it in the catalog. After a kill
at any moment, every file is where it was or where the plan puts it, and `resume_plan` continues from there."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dedup.cleanup.allowed import Allowed, Trust
from dedup.cleanup.before import done_before, told_apart
from dedup.cleanup.carrying import NO_LINKS, Carrying, Links, bind
from dedup.cleanup.checks import Protection, Refusal
from dedup.cleanup.entries import Cleanup, may_merge
from dedup.cleanup.examine import examine
from dedup.cleanup.journal import JournalWriter, make_journal, open_journal, plan_of, require_none_open
from dedup.cleanup.merging import would_merge
from dedup.cleanup.playlists import rewrite_all
from dedup.cleanup.quarantine import quarantines_of
from dedup.cleanup.reach import reach_of_plan, roots_of
from dedup.cleanup.recover import recover
from dedup.clock import utc_now
from dedup.errors import UsageError
from dedup.files.paths import printable
from dedup.plan.document import to_bytes
from dedup.plan.make import require_outside
from dedup.plan.nouns import REMOVING
from dedup.playlists.moves import Moves
from dedup.servers.asked import Asked, all_asked, asked_of
from dedup.servers.evidence import kept as kept_listeners
from dedup.store.protection import protected

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.plan.nouns import Plan
    from dedup.runner import Stop
    from dedup.store.store import Store

NOTHING_MORE = Allowed()
"""The default settings, which let nothing go that is lost."""

_ANOTHER = "Make the plan again with another folder as --to"

MayDelete = Callable[[int, int], bool]
"""Decides whether a plan may delete files for good, from their number and that of the entries that are not as the store
planned them."""


@dataclass(frozen=True)
class Applied:
    """The result of a plan, or the expected result of a dry run."""

    done: Mapping[str, int] = field(default_factory=dict)
    """Files that are done, by action."""
    n_bytes: int = 0
    """Bytes of these files."""
    n_merged: int = 0
    """Kept files that got tags or a cover."""
    n_playlists: int = 0
    """Playlists that were rewritten."""
    n_carried: int = 0
    """Files of which media servers gave something to the kept file."""
    n_folders: int = 0
    """Empty folders that were removed."""
    refused: tuple[Refusal, ...] = ()
    """Entries that were not carried out."""
    before: Mapping[int, int] = field(default_factory=dict)
    """Files that earlier clean-ups of the same plan did, by the number of the clean-up."""
    left: int = 0
    """Files that a stop left for the next run."""
    n_edited: int = 0
    """Files of entries that are not as the store planned them, done or refused."""
    is_header_edited: bool = False
    """Whether what the plan says as a whole is not as the store wrote it."""
    quarantines: tuple[bytes, ...] = ()
    """Folders that hold what was quarantined."""

    @property
    def n_files(self) -> int:
        """Files that are done."""
        return sum(self.done.values())

    @property
    def has_changes(self) -> bool:
        """Whether anything was changed."""
        return bool(self.n_files + self.n_merged + self.n_playlists + self.n_folders)


def never(n_files: int, n_edited: int) -> bool:  # noqa: ARG001
    """No file may be deleted for good."""
    return False


def check_plan(
    *,
    store: Store,
    plan: Plan,
    observer: Observer,
    stop: Stop,
    allowed: Allowed = NOTHING_MORE,
    links: Links = NO_LINKS,
) -> Applied:
    """What `apply_plan` would do and refuse; changes nothing, and only reads from media servers (`links`). Raises
    UsageError for a folder that cannot be a quarantine, and for thresholds that a person has loosened."""
    trust = Trust(store, plan, allowed)
    protection = _protection(store, plan, allowed)
    _require_quarantine(store, plan, protection)
    carrying = Carrying(links, plan, trust, _asked(store, plan))
    carrying.ask(observer, stop, may_wait=False)
    done: Counter[str] = Counter()
    n_bytes, n_merged, gone = 0, 0, dict[bytes, bytes]()
    refused: list[Refusal] = []
    with reach_of_plan(store, plan) as reach:
        for group, examined in examine(store, plan, protection, trust, reach, observer, stop):
            carrying.examine(group, examined)
            for file in group.changed:
                problem = examined.problem(file)
                if problem:
                    refused.append(Refusal(file.path, problem))
                else:
                    done[file.action] += 1
                    n_bytes += file.size
                observer.advance()
            going = [file for file in group.changed if not examined.problem(file)]
            if group.kept is not None and going:
                is_merged = may_merge(group.kept, going, protection)
                n_merged += is_merged and would_merge(replace(group, files=(group.kept, *going)))
                gone |= {file.path: group.kept.path for file in going if file.action in REMOVING}
        left = plan.n_files - sum(done.values()) - len(refused) if stop.requested else 0
        unwritable: list[Refusal] = []
        n_playlists = 0
        if not stop.requested:
            n_playlists, unwritable = rewrite_all(plan.playlists, Moves(gone), protection, reach, lambda _: None)
    applied = Applied(
        done,
        n_bytes,
        n_merged,
        n_playlists,
        refused=(*refused, *unwritable),
        left=left,
        n_edited=trust.n_edited,
        is_header_edited=trust.is_header_edited,
    )
    return _without_done(applied, done_before(store.layout.folder, to_bytes(plan)))


def apply_plan(
    *,
    store: Store,
    plan: Plan,
    observer: Observer,
    stop: Stop,
    may_delete: MayDelete = never,
    allowed: Allowed = NOTHING_MORE,
    links: Links = NO_LINKS,
) -> Applied:
    """Carries out a plan, with a journal by which it can be undone. Refuses an entry that cannot be carried out, with
    the reason, and continues with the rest. Call it only while holding the store's lock.

    What the plan says beyond what the store has sealed counts only as far as it is `allowed`; the folders that the plan
    and the store protect are protected too. What listeners did on media servers (`links`) goes to the kept files; a
    file in the folders of a server that does not answer, or cannot do that, is refused.

    Raises JournalError if an earlier clean-up was interrupted, UsageError for a folder that cannot be a quarantine, for
    thresholds that a person has loosened, or if `may_delete` does not allow what the plan deletes, WriteError for a
    full disk: `resume_plan` goes on from there."""
    require_none_open(store.layout.folder)
    trust = Trust(store, plan, allowed)
    protection = _protection(store, plan, allowed)
    _require_quarantine(store, plan, protection)
    _require_leave_to_delete(plan, may_delete, trust)
    known = done_before(store.layout.folder, to_bytes(plan))
    journal = make_journal(store.layout.folder, to_bytes(plan), utc_now())
    with contextlib.closing(JournalWriter(journal)) as writer, reach_of_plan(store, plan) as reach:
        carrying = Carrying(links, plan, trust, _asked(store, plan))
        applied = _carry_out(Cleanup(store, plan, protection, trust, writer, reach, observer, stop, carrying, known))
    return _without_done(applied, known)


def _without_done(applied: Applied, known: dict[bytes, int]) -> Applied:
    """The same, what earlier clean-ups did no longer among the refused."""
    refused, before = told_apart(applied.refused, known)
    return replace(applied, refused=refused, before=before)


def resume_plan(
    *, store: Store, observer: Observer, stop: Stop, allowed: Allowed = NOTHING_MORE, links: Links = NO_LINKS
) -> Applied:
    """Resumes the plan that was interrupted, as `apply_plan` began it. Raises JournalError if there is none, UsageError
    for thresholds that a person has loosened."""
    journal = open_journal(store.layout.folder)
    plan = plan_of(journal)
    trust = Trust(store, plan, allowed)
    bind(journal, links)
    with contextlib.closing(JournalWriter(journal)) as writer, reach_of_plan(store, plan, journal) as reach:
        recover(store, writer, reach)
        protection = _protection(store, plan, allowed)
        _require_quarantine(store, plan, protection)
        carrying = Carrying(links, plan, trust, _asked(store, plan), journal)
        return _carry_out(Cleanup(store, plan, protection, trust, writer, reach, observer, stop, carrying))


def _carry_out(cleanup: Cleanup) -> Applied:
    """Does whatever the journal does not record as done. The catalog follows within a second: if it lags behind when
    the process is killed, `recover` brings it up to what the journal says."""
    store, trust, stop = cleanup.store, cleanup.trust, cleanup.stop
    rest, left = cleanup.rest(), 0
    cleanup.carrying.ask(cleanup.observer, stop, may_wait=True)
    with store.catalog.gathered() as commit_in_time:
        for group, examined in examine(store, rest, cleanup.protection, trust, cleanup.reach, cleanup.observer, stop):
            cleanup.group(group, examined)
            commit_in_time()
    if stop.requested:
        left = rest.n_files - sum(cleanup.done.values()) - len(cleanup.refused)
    else:
        cleanup.sidecars()
        cleanup.playlists()
        cleanup.folders()
        cleanup.confirm()
    journal = cleanup.writer.journal
    quarantines = quarantines_of(journal, cleanup.plan, roots_of(store, journal))
    if not stop.requested:
        cleanup.writer.end(utc_now())
    return Applied(
        done=cleanup.done,
        n_bytes=cleanup.n_bytes,
        n_merged=cleanup.n_merged,
        n_playlists=cleanup.n_playlists,
        n_folders=cleanup.n_folders,
        n_carried=cleanup.carrying.n_carried,
        refused=tuple(cleanup.refused),
        left=left,
        n_edited=trust.n_edited,
        is_header_edited=trust.is_header_edited,
        quarantines=tuple(quarantines),
    )


# ---- conditions before anything is done ----


def _asked(store: Store, plan: Plan) -> tuple[Asked, ...]:
    """The media servers that were asked for the plan, or since: somebody may have taken them out of it. Raises
    StoreDamagedError if what they said cannot be read."""
    return all_asked(plan.servers, asked_of(kept_listeners(store.layout)))


def _protection(store: Store, plan: Plan, allowed: Allowed) -> Protection:
    """The folders that the settings, the plan and every plan before it protect."""
    return Protection([*protected(store, allowed.keep.protect), *plan.protect])


def _require_quarantine(store: Store, plan: Plan, protection: Protection) -> None:
    """Raises UsageError if the next scan would find the files again, or a protected folder would be touched."""
    if plan.to is None:
        return
    if not os.path.isabs(plan.to) or b".." in plan.to.split(b"/"):
        raise UsageError("quarantine", f"{printable(plan.to)} is not an absolute path", remedy=_ANOTHER)
    if protection.holds(os.path.join(plan.to, b"x")):
        raise UsageError("quarantine", f"{printable(plan.to)} is in a protected folder", remedy=_ANOTHER)
    if os.path.lexists(plan.to) and not os.path.isdir(plan.to):
        raise UsageError("quarantine", f"{printable(plan.to)} is not a folder", remedy=_ANOTHER)
    require_outside(plan.to, store.catalog.tracks.roots())


def _require_leave_to_delete(plan: Plan, may_delete: MayDelete, trust: Trust) -> None:
    n_files = sum(file.action == "delete" for group in plan.groups for file in group.files)
    if n_files and not may_delete(n_files, trust.n_edited):
        files = "1 file" if n_files == 1 else f"{n_files:,} files"
        found = f"{files} would be deleted for good, which cannot be undone"
        raise UsageError("apply", found, remedy="Nothing was done. Confirm with --yes, or plan another action")
