"""What listeners did with a file on a media server. Pure: nothing here asks a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dedup.files.paths import holds
from dedup.servers.path_map import Places, normal

LOVED_RATING = 4
"""Stars, of five, from which on a rating alone says that a file is loved."""

_MOST_LINKS, _MOST_PLAYS = 0xFFF, 0xFFFFFFFF
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Listed:
    """A playlist that holds a file."""

    id: str
    name: str
    at: tuple[int, ...] = ()
    """Places of the file in it, from 0."""
    owner: str = ""
    """Whose it is, if it is not the user's own: then only they may change it."""
    is_whole: bool = True
    """Whether the server names all of its songs; one that it does not cannot be written anew."""

    @property
    def is_fixed(self) -> bool:
        """Whether nobody can put another song in the place of one."""
        return bool(self.owner) or not self.is_whole


@dataclass(frozen=True, slots=True)
class Loved:
    """An album, an artist or a folder that is a favourite, and that a file belongs to."""

    kind: str
    """"album", "artist" or "folder"."""
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A moment in a file at which a listener stopped."""

    position_ms: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A link by which others reach a file."""

    id: str
    description: str = ""
    expires: str = ""
    """Time as the server writes it; empty for a link that does not expire."""


@dataclass(frozen=True, slots=True)
class Attention:
    """What the listeners of one server did with one file."""

    starred: bool = False
    rating: int = 0
    """Stars from 1 to 5; 0 if it is not rated."""
    plays: int = 0
    playlists: tuple[Listed, ...] = ()
    bookmark: Bookmark | None = None
    shares: tuple[Share, ...] = ()
    loved: tuple[Loved, ...] = ()
    """What is a favourite as a whole."""

    def __bool__(self) -> bool:
        return self != NONE

    @property
    def is_loved(self) -> bool:
        """Whether somebody wants to keep it: they starred it or what it belongs to, rated it well, put it into a
        playlist, set a bookmark or share it. Having played it is not enough."""
        return self.starred or self.rating >= LOVED_RATING or bool(self.n_links)

    @property
    def n_links(self) -> int:
        """Number of favourite albums, artists and folders, playlists, bookmarks and shares that lead to it."""
        return len(self.loved) + len(self.playlists) + len(self.shares) + (self.bookmark is not None)

    @property
    def rank(self) -> int:
        """A number that is larger for what is loved more: starred, then better rated (two stars and less count as
        none), then in more playlists and the like, then played more often."""
        stars = max(0, self.rating - 2)
        return ((self.starred << 2 | stars) << 12 | min(self.n_links, _MOST_LINKS)) << 32 | min(self.plays, _MOST_PLAYS)

    @property
    def moved(self) -> Attention:
        """What of it can go to another file on every server: not the plays, nor the place in others' playlists, nor
        what it belongs to."""
        own = tuple(listed for listed in self.playlists if not listed.is_fixed)
        return replace(self, plays=0, playlists=own, loved=())

    def lacking(self, ours: Attention) -> Attention:
        """What a file with the attention `ours` gets of this. Where both have a rating or a bookmark, its own stays.
        Plays are the sum of both, or 0 if there is nothing to add."""
        there = {listed.id for listed in ours.playlists}
        return Attention(
            starred=self.starred and not ours.starred,
            rating=0 if ours.rating else self.rating,
            plays=self.plays + ours.plays if self.plays else 0,
            playlists=tuple(listed for listed in self.playlists if not listed.is_fixed and listed.id not in there),
            bookmark=None if ours.bookmark else self.bookmark,
            shares=self.shares,
        )

    def with_given(self, given: Attention) -> Attention:
        """This, once it got what `lacking` gave."""
        return Attention(
            self.starred or given.starred,
            self.rating or given.rating,
            given.plays or self.plays,
            self.playlists + given.playlists,
            self.bookmark or given.bookmark,
            self.shares + given.shares,
            self.loved,
        )

    def words(self) -> Iterator[str]:
        """Each thing in words: "starred", "rated 5", "in the playlist Evening", "played 31 times"."""
        if self.starred:
            yield "starred"
        if len(self.loved) == 1:
            yield f"of the starred {self.loved[0].kind} {short(self.loved[0].name)}"
        elif self.loved:
            yield f"of {len(self.loved):,} starred albums, artists or folders"
        if self.rating:
            yield f"rated {self.rating}"
        if len(self.playlists) == 1:
            yield f"in the playlist {short(self.playlists[0].name)}"
        elif self.playlists:
            yield f"in {len(self.playlists):,} playlists"
        if self.bookmark:
            comment = f" ({short(self.bookmark.comment)})" if self.bookmark.comment else ""
            yield f"with a bookmark at {_clock(self.bookmark.position_ms)}{comment}"
        if self.shares:
            yield "shared"
        if self.plays:
            yield times_played(self.plays)


NONE = Attention()


def short(name: str) -> str:
    """A name for people, cut if it is very long."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def times_played(plays: int) -> str:
    """A number of plays in words."""
    return "played once" if plays == 1 else f"played {plays:,} times"


def _clock(position_ms: int) -> str:
    minutes, seconds = divmod(position_ms // 1000, 60)
    return f"{minutes}:{seconds:02d}"


def both(one: Attention, other: Attention) -> Attention:
    """What is said of one file at two places, such as two servers, together."""
    return Attention(
        one.starred or other.starred,
        max(one.rating, other.rating),
        one.plays + other.plays,
        one.playlists + other.playlists,
        one.bookmark or other.bookmark,
        one.shares + other.shares,
        tuple(dict.fromkeys(one.loved + other.loved)),
    )


# ---- all servers together ----


@dataclass(frozen=True)
class Heard:
    """What one server said, or why it said nothing."""

    server: str
    """Name in the settings."""
    folders: tuple[bytes, ...]
    """Local folders, absolute, that it plays."""
    moves_plays: bool = False
    """Whether it can give the plays of one file to another."""
    problem: str = ""
    """Why it could not be asked; then nobody knows what it would protect."""
    attention: Mapping[bytes, Attention] = field(default_factory=dict)
    """By local path (`path_map.Places.key`), for files with which somebody did something; for all that it knows, if
    songs of it lead nowhere."""
    kind: str = ""
    url: str = ""
    user: str = ""
    """The server and the user who asked, as in the settings; empty in evidence of an older release."""
    n_nowhere: int = 0
    """Songs of it that lead to no file by its map. Then a file that it does not know may be one of these."""
    _places: Places = field(default_factory=Places, compare=False, repr=False)

    def sees(self, path: bytes) -> bool:
        """Whether a file is in a folder that it plays."""
        if any(holds(folder, path) for folder in self.folders):
            return True
        key = self._places.key(path)
        return any(holds(normal(self._places.folder(folder)), key) for folder in self.folders)

    def of(self, path: bytes) -> Attention:
        """What was done with a file."""
        said = self._said(path)
        return NONE if said is None else said

    def _said(self, path: bytes) -> Attention | None:
        said = self.attention.get(normal(path))
        return self.attention.get(self._places.key(path)) if said is None else said

    @property
    def unheard(self) -> str:
        """What would be lost if it cannot be asked, in words."""
        return f"the server {self.server} cannot be asked what listeners did with it"

    def losses(self, copy: bytes, kept: bytes) -> Iterator[str]:
        """What would be lost on this server if the copy went for the kept file, in words."""
        if not self.sees(copy):
            return
        if self.problem:
            yield f"{self.unheard} ({self.problem})"
            return
        if self.n_nowhere and self._said(copy) is None:
            songs = "one of its songs leads" if self.n_nowhere == 1 else f"{self.n_nowhere:,} of its songs lead"
            yield f"{self.server} does not know it under this path, and {songs} to no file by its map"
            return
        theirs, ours = self.of(copy), self.of(kept)
        if theirs.plays > ours.plays and not self.moves_plays:
            other = f"{ours.plays:,}" if ours.plays else "not"
            yield f"{times_played(theirs.plays)} on {self.server}, which cannot move plays, the kept file {other}"
        for listed in theirs.playlists:
            told = f"in the playlist {short(listed.name)}"
            if listed.owner:
                yield f"{told} of {short(listed.owner)} on {self.server}, which only they may change"
            elif not listed.is_whole:
                yield f"{told} on {self.server}, which hides some songs of it"
        for loved in theirs.loved:
            if loved not in ours.loved:
                yield f"of the starred {loved.kind} {short(loved.name)} on {self.server}, the kept file not"
        moved = theirs.moved
        if moved and not self.sees(kept):
            yield f"{', '.join(moved.words())} on {self.server}, which does not play the kept file"


@dataclass(frozen=True)
class Listeners:
    """What all servers said."""

    servers: tuple[Heard, ...] = ()
    digest: str = field(default="", compare=False)
    """A digest of it, as it is kept beside a store; empty if it is not."""

    def of(self, path: bytes) -> Attention:
        """What was done with a file, all servers together."""
        found = NONE
        for heard in self.servers:
            if said := heard.of(path):
                found = both(found, said) if found else said
        return found

    def words(self, path: bytes) -> str:
        """What was done with a file, for people: "home: starred, rated 5"; empty if nothing."""
        said = ((heard.server, ", ".join(heard.of(path).words())) for heard in self.servers)
        return "; ".join(f"{server}: {words}" for server, words in said if words)

    def losses(self, copy: bytes, kept: bytes) -> tuple[str, ...]:
        """What would be lost on any server if the copy went for the kept file, in words."""
        return tuple(words for heard in self.servers for words in heard.losses(copy, kept))


NOBODY = Listeners()


# ---- as JSON ----


def to_record(attention: Attention) -> dict[str, Any]:
    """In JSON types, without what is not there; `of_record` is the inverse."""
    record: dict[str, Any] = {}
    if attention.starred:
        record["starred"] = True
    record |= {name: value for name in ("rating", "plays") if (value := getattr(attention, name))}
    if attention.playlists:
        record["playlists"] = [_listed_record(each) for each in attention.playlists]
    if attention.bookmark:
        record["bookmark"] = [attention.bookmark.position_ms, attention.bookmark.comment]
    if attention.shares:
        record["shares"] = [[each.id, each.description, each.expires] for each in attention.shares]
    if attention.loved:
        record["loved"] = [[each.kind, each.id, each.name] for each in attention.loved]
    return record


def of_record(record: Mapping[str, Any]) -> Attention:
    """The attention of a record. Raises KeyError, TypeError or ValueError for anything else."""
    return Attention(
        starred=bool(record.get("starred", False)),
        rating=int(record.get("rating", 0)),
        plays=int(record.get("plays", 0)),
        playlists=tuple(_listed(*each) for each in record.get("playlists", ())),
        bookmark=Bookmark(int(record["bookmark"][0]), str(record["bookmark"][1])) if "bookmark" in record else None,
        shares=tuple(Share(*map(str, each)) for each in record.get("shares", ())),
        loved=tuple(Loved(*map(str, each)) for each in record.get("loved", ())),
    )


def _listed_record(listed: Listed) -> list[Any]:
    hidden = () if listed.is_whole else (False,)
    return [listed.id, listed.name, list(listed.at), listed.owner, *hidden]


def _listed(id_: str, name: str, at: Iterable[int], owner: str, is_whole: bool = True) -> Listed:
    return Listed(str(id_), str(name), tuple(map(int, at)), str(owner), bool(is_whole))
