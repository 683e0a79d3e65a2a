"""The groups of a plan that are decided, found by their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dedup.plan.nouns import REMOVING, PlannedGroup

Contents = bytes
"""`PlannedGroup.contents`."""


class Answers:
    """Decided groups. A file may be in several only if a plan says so."""

    def __init__(self, groups: Iterable[PlannedGroup] = ()) -> None:
        self._groups: dict[Contents, PlannedGroup] = {}
        self._with: dict[bytes, set[Contents]] = {}
        """The groups that hold each path."""
        self.gone: set[bytes] = set()
        """Paths of all files that are removed from their place."""
        for group in groups:
            self._add(group)

    def __iter__(self) -> Iterator[PlannedGroup]:
        return iter(self._groups.values())

    def of(self, contents: Contents) -> PlannedGroup | None:
        """The answer about a group with these contents."""
        return self._groups.get(contents)

    def put(self, group: PlannedGroup) -> None:
        """Adds an answer in place of all that are about any of its files."""
        self.drop(file.path for file in group.files)
        self._add(group)

    def drop(self, paths: Iterable[bytes]) -> None:
        """Drops the answers about any of these files."""
        about = {contents for path in paths for contents in self._with.get(path, ())}
        for contents in about:
            for file in self._groups.pop(contents).files:
                left = self._with[file.path]
                left.discard(contents)
                if not left:
                    del self._with[file.path]
                if not _is_gone(file.path, (self._groups[other] for other in left)):
                    self.gone.discard(file.path)

    def _add(self, group: PlannedGroup) -> None:
        contents = group.contents
        self._groups[contents] = group
        for file in group.files:
            self._with.setdefault(file.path, set()).add(contents)
            if file.action in REMOVING:
                self.gone.add(file.path)


def _is_gone(path: bytes, groups: Iterable[PlannedGroup]) -> bool:
    return any(file.path == path and file.action in REMOVING for group in groups for file in group.files)
