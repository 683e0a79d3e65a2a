"""Which members of each group go by some settings: decided once, and again where something about the tracks of a group
has changed. Deciding takes longer than all else that a first look at the groups needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from dedup.groups.groups import Group
from dedup.groups.matches import ListedTrack, Matches
from dedup.settings import KeepSettings, PlanSettings


class Going(NamedTuple):
    """Places of members in their group, from 0."""

    certain: Sequence[int]
    """Those that go, regardless of albums."""
    unheard: Sequence[int]
    """Those that would go too if they passed a null test that nobody has made yet."""


class Goings:
    """What goes of the groups of some matches by some settings."""

    def __init__(self, known: Mapping[bytes, Going]) -> None:
        self.known = dict(known)
        """By the path of the reference."""

    def of(self, group: Group, decide: Callable[[Group], Going]) -> Going:
        """What goes of this group; `decide` is asked if that is not known."""
        path = group.reference.path
        if path not in self.known:
            self.known[path] = decide(group)
        return self.known[path]

    def renew(self, tracks: Sequence[ListedTrack]) -> None:
        """Forgets what is known of the groups of these tracks."""
        for track in tracks:
            self.known.pop(track.path, None)


def goings(matches: Matches, keep: KeepSettings, settings: PlanSettings, heard: str) -> Goings:
    """What goes of the groups by `keep` as `settings` say, with what listeners did by the digest `heard`; the same for
    whoever asks for it. Settings that say nothing about what goes do not count."""
    said = f"{replace(settings, to=None, playlists=(), break_albums=False, remove_empty_folders=False)!r}{heard}"
    found = matches.derived.get((keep, said))
    if not isinstance(found, Goings):
        found = Goings({})
        take(matches, keep, said, found)
    return found


def take(matches: Matches, keep: KeepSettings, settings: str, known: Goings) -> None:
    """Takes what was known of such matches before, by settings and listeners of which `settings` is the text."""
    matches.derived[keep, settings] = known


def all_known(matches: Matches, keep: KeepSettings) -> dict[str, Goings]:
    """All that is known of the groups by `keep`, by the text of the settings and listeners."""
    return {key[1]: found for key, found in matches.derived.items() if isinstance(found, Goings) and key[0] == keep}
