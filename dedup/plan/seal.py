"""Seals the entries of a plan, so that `apply` can tell what a person or a program has changed since. A seal is a keyed
digest: only who can read the store can make one."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, replace
from typing import Any

from dedup.plan.document import merge_to_json, unsealed_to_json
from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup

SEAL_BYTES = 16

_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Seals:
    """The seals by one key. Without a key nothing is sealed, and no seal is sound."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._known: dict[int, tuple[PlannedGroup, PlannedGroup]] = {}
        """Groups of the last plan with their sealed form, by `id`: a review seals 20,000 of them after each answer."""
        self._made = ""
        self._begun: tuple[Plan, PlannedGroup, Any] | None = None
        """The group whose files were looked at last, with what their seals begin with."""

    def sealed(self, plan: Plan) -> Plan:
        """The plan with a seal for what it says as a whole, and for each entry that is not from a document. Each holds
        for plans that were made at that moment alone: an entry of an older plan is none of this one."""
        known = self._known if self._made == plan.made else {}
        self._known = {id(group): known.get(id(group)) or (group, self._group(plan, group)) for group in plan.groups}
        self._made = plan.made
        groups = tuple(self._known[id(group)][1] for group in plan.groups)
        return replace(plan, groups=groups, seal=self._of_header(plan))

    def opened(self, plan: Plan) -> Plan:
        """A plan from a document, to go on with: its entries with a sound seal count as made by the store again."""
        groups = tuple(
            replace(
                group,
                files=tuple(
                    replace(file, seal=None if self.is_sound(plan, group, file) else file.seal or "")
                    for file in group.files
                ),
            )
            for group in plan.groups
        )
        return replace(plan, groups=groups)

    def is_sound(self, plan: Plan, group: PlannedGroup, file: PlannedFile) -> bool:
        """Whether a file of a group is as the store planned it, with the same kept file and the same merge."""
        if self._begun is None or self._begun[0] is not plan or self._begun[1] is not group:
            self._begun = plan, group, self._beginning(plan, group)
        return _equal(file.seal, self._of_file(self._begun[2], file))

    def is_header_sound(self, plan: Plan) -> bool:
        """Whether thresholds, quarantine, protected folders and the like are those that the store wrote."""
        return _equal(plan.seal, self._of_header(plan))

    def _group(self, plan: Plan, group: PlannedGroup) -> PlannedGroup:
        begun = self._beginning(plan, group)
        files = tuple(file.sealed(self._of_file(begun, file)) if file.seal is None else file for file in group.files)
        return PlannedGroup(files, group.merge, group.note)

    def _beginning(self, plan: Plan, group: PlannedGroup) -> Any:
        """What the seals of all files of a group begin with, as a digest to go on with: a group may have thousands, and
        a merge much to say of each. None without a key."""
        kept = None if group.kept is None else [group.kept.path.hex(), group.kept.content.hex()]
        merge = None if group.merge is None else merge_to_json(group.merge)
        return self._digest(_text(["file", plan.made, kept, group.note, merge])[:-1] + ",")

    def _of_file(self, begun: Any, file: PlannedFile) -> str:
        if begun is None:
            return ""
        digest = begun.copy()
        digest.update(f"{_text(unsealed_to_json(file))}]".encode())
        return str(digest.hexdigest())

    def _of_header(self, plan: Plan) -> str:
        folders = [plan.to.hex() if plan.to is not None else None, *sorted(folder.hex() for folder in plan.protect)]
        playlists = [playlist.path.hex() for playlist in plan.playlists]
        switches = [plan.remove_empty_folders, plan.identity]
        asked = [[each.name, each.kind, each.url, each.user, *map(bytes.hex, each.folders)] for each in plan.servers]
        servers = [asked] if asked else []
        return self._of(["plan", plan.made, asdict(plan.match), folders, playlists, switches, *servers])

    def _of(self, value: list[object]) -> str:
        digest = self._digest(_text(value))
        return "" if digest is None else str(digest.hexdigest())

    def _digest(self, text: str) -> Any:
        return None if self._key is None else hashlib.blake2b(text.encode(), key=self._key, digest_size=SEAL_BYTES)


def _text(value: object) -> str:
    return _encoded(value)


def _equal(told: str | None, sound: str) -> bool:
    return bool(told) and bool(sound) and hmac.compare_digest((told or "").encode(), sound.encode())
