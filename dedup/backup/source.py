"""What every kind of source offers: one Protocol. A module a kind implements it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dedup.net.sink import Sink
from dedup.tags.cover import Cover


class UnavailableError(Exception):
    """One file that its source does not give, or gives in part; the others go on."""

    def __init__(self, found: str) -> None:
        """`found` is a phrase: "it changed while it was copied"."""
        super().__init__(found)
        self.found = found


@dataclass(frozen=True)
class Item:
    """A file of a source. All text is the source's, and may hold anything."""

    id: str
    """By which the source knows it, and no other file."""
    title: str = ""
    artist: str = ""
    albumartist: str = ""
    album: str = ""
    disc: int = 0
    """Number from 1; 0 if it is not known, as with `track`."""
    track: int = 0
    duration_s: float = 0.0
    """Seconds; 0 if the source does not say."""
    size: int | None = None
    """Bytes; None if the source does not say."""
    mtime_ns: int | None = None
    """Time of its last change, in ns since 1970; None if the source does not say."""
    suffix: str = ""
    """Extension without the dot; empty if it shows only when the file is fetched."""
    names: tuple[str, ...] = ()
    """Folders and name, with extension, that it keeps; empty if it is named by its tags."""

    @property
    def shown(self) -> str:
        """What a person calls it."""
        return whole_text("/".join(self.names) or " - ".join(filter(None, (self.artist, self.title))) or self.id)


@dataclass(frozen=True)
class Filling:
    """What a source says of a file, for tags that the file lacks."""

    fields: Mapping[str, str] = field(default_factory=dict)
    """Values by common name."""
    cover: Cover | None = None


@dataclass(frozen=True)
class SourcePlaylist:
    """A playlist of a source."""

    id: str
    name: str
    items: Sequence[str]
    """Ids of its files, in their order."""


def whole_text(text: str) -> str:
    """The text without halves of characters, which JSON can hold and no file can."""
    return text.encode("utf-8", "replace").decode()


class Source(Protocol):
    """Somewhere music is. Only `list` and `playlists` may take long before they give anything. Every method raises a
    RepriseError if the source as a whole cannot be reached any more, and StoppedError if the run is to stop."""

    key: str
    """Which source it is, the same each time: "subsonic https://music.example.org"."""
    folder: bytes
    """Its real path if it is a folder of this machine, whose files are no copies of themselves; else empty."""
    n_unlisted: int
    """Files and folders that could not be looked at while the files were listed; the observer was told of each."""

    def list(self) -> Iterator[Item]:
        """Every file, each once."""

    def fetch(self, item: Item, into: Sink) -> str:
        """Writes the whole file; gives its extension, without the dot. Raises UnavailableError, WriteError."""

    def beside(self, item: Item, name: bytes) -> Iterator[tuple[bytes, Item]]:
        """What lies beside a file and belongs to it, for `fetch`; each with its name beside the copy of that `name`."""

    def tags(self, item: Item) -> Filling:
        """What it says of the file."""

    def playlists(self) -> Iterator[SourcePlaylist]:
        """The playlists that a person keeps there."""
