"""The plan of all answers as it is shown and carried out, and the clean-ups of the past."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.cleanup.history import history
from dedup.errors import InputError, writing
from dedup.plan.document import merge_to_json, unsealed_to_json, write_plan
from dedup.store.layout import PRIVATE_FOLDER
from dedup.store.ledgers import FOLDER, JOURNAL
from jobs.serve.work import words_for

if TYPE_CHECKING:
    from dedup.cleanup.history import Summary
    from dedup.plan.nouns import Plan, PlannedGroup
    from jobs.serve.desk import Desk
    from jobs.serve.shown import Snapshot
    from jobs.serve.work import Work
    from jobs.session.configuration import Configuration

CHANGED = "The plan is not the one that you saw any more. Look at it again, then type the count."
KEPT_PLANS = 5
"""Plans that were applied from here and are kept in the folder `page`; the journals have their own copies."""


class Digests:
    """What a plan would do, as a short text: equal for plans that would do the same, whenever they were made."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[PlannedGroup, bytes]] = {}
        """Groups with their digests, by `id`: a group that stays the same object is not read again."""

    def of(self, plan: Plan) -> str:
        self._known = {id(group): self._known.get(id(group)) or (group, _group_digest(group)) for group in plan.groups}
        whole = hashlib.blake2b(digest_size=16)
        playlists = [[each.path.hex(), each.n_references, each.problem] for each in plan.playlists]
        folders = [plan.to.hex() if plan.to is not None else None, *(folder.hex() for folder in plan.protect)]
        whole.update(json.dumps([playlists, folders, plan.remove_empty_folders]).encode())
        for group in plan.groups:
            whole.update(self._known[id(group)][1])
        return whole.hexdigest()


def _group_digest(group: PlannedGroup) -> bytes:
    files = [unsealed_to_json(file) for file in group.files]
    merge = None if group.merge is None else merge_to_json(group.merge)
    return hashlib.blake2b(json.dumps([files, merge, group.note]).encode(), digest_size=16).digest()


@dataclass(frozen=True)
class Shown:
    """The plan as a page shows it."""

    plan: Plan
    digest: str
    groups: tuple[PlannedGroup, ...]
    """Groups of which a file goes or changes, or the kept one gets something."""

    @property
    def n_stay(self) -> int:
        """Number of groups of which all files stay, as a person said."""
        return len(self.plan.groups) - len(self.groups)


class Clerk:
    """Makes the plan of the answers, and knows the clean-ups of the past; one for a server."""

    def __init__(self, desk: Desk, work: Work, settings: Configuration) -> None:
        self._desk, self._work, self._settings = desk, work, settings
        self._digests = Digests()
        self._past: tuple[object, list[Summary]] = (None, [])

    def shown(self) -> tuple[Snapshot, Shown]:
        """The plan of all answers as they are now."""
        is_idle = self._work.record()["job"] is None
        with self._desk.steady(fresh=is_idle) as snapshot:
            plan = snapshot.review.plan()
            groups = tuple(group for group in plan.groups if group.changed or group.merge)
            return snapshot, Shown(plan, self._digests.of(plan), groups)

    def past(self) -> list[Summary]:
        """All clean-ups, newest first. Raises JournalError for a journal that cannot be read."""
        folder = self._desk.terms.folder
        found = []
        try:
            for entry in os.scandir(folder / FOLDER):
                status = os.stat(os.path.join(entry.path, JOURNAL))
                found.append((entry.name, status.st_size, status.st_mtime_ns))
        except OSError:  # none yet, or one that comes or goes now
            found.append(("", 0, 0))
        state = tuple(sorted(found))
        if self._past[0] != state:
            self._past = state, history(folder)[::-1]
        return self._past[1]

    def apply(self, digest: str, count: int) -> None:
        """Begins the clean-up by the plan that was shown. Raises InputError if it is another now or the count is not
        that of its files, StoreLockedError if a run goes on, WriteError."""
        _, now = self.shown()
        if now.digest != digest:
            raise InputError("the plan", CHANGED)
        if not now.groups:
            raise InputError("the plan", "changes nothing", remedy="Decide about some groups first")
        if count != now.plan.n_files:
            raise InputError("the count", f"is {count:,}", f"{now.plan.n_files:,}", "Type the number of files that go")
        path = self._written(now)
        deletes = any(file.action == "delete" for group in now.groups for file in group.changed)
        words = words_for(self._settings, "apply") + (["--yes"] if deletes else [])
        self._work.begin("apply", [*words, "--", os.fsdecode(path)])

    def _written(self, now: Shown) -> bytes:
        page = self._work.layout.page
        with writing(f"folder {page}"):
            page.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            for old in sorted(page.glob("plan-*.json"), key=lambda each: each.stat().st_mtime_ns)[: -KEPT_PLANS + 1]:
                old.unlink(missing_ok=True)
        path = os.fsencode(page / f"plan-{now.digest}.json")
        write_plan(path, now.plan)
        os.chmod(path, 0o600)
        return path
