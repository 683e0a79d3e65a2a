"""A server that speaks Subsonic, as a source: its files as they are on its disk, never what it makes of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dedup.backup.flow import Flow
from dedup.backup.picture import Picture
from dedup.backup.source import Filling, Item, SourcePlaylist, UnavailableError
from dedup.errors import ServerError
from dedup.net.download import DownloadError, Manner, UnreachableError
from dedup.net.sink import Sink
from dedup.servers.answers import number, tables, text
from dedup.servers.secret import Secret
from dedup.servers.server import RefusedError
from dedup.servers.settings import ServerSettings
from dedup.servers.subsonic import NoFileError, Subsonic
from dedup.tags.cover import Cover

_MOST_COVERS = 8
"""Pictures that are kept in mind: the files of an album share one."""

_FIELDS = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "year": "date",
    "genre": "genre",
    "track": "tracknumber",
    "discNumber": "discnumber",
    "musicBrainzId": "musicbrainz_trackid",
}
"""Fields of tags by what a server says."""


class SubsonicSource:
    """All songs that one user may hear."""

    def __init__(self, settings: ServerSettings, secret: Secret, flow: Flow, why_end: Callable[[], str] = str) -> None:
        """As `servers.connect.connect`."""
        self.key = f"subsonic {settings.url}"
        self.folder, self.n_unlisted = b"", 0
        self._where, self._flow = f"server {settings.name}", flow
        self._server = Subsonic(settings, secret, why_end)
        self._said: dict[str, Mapping[str, Any]] = {}
        self._covers: OrderedDict[str, Cover | None] = OrderedDict()

    def list(self) -> Iterator[Item]:
        for said in self._server.records():
            if said.get("isVideo") is True or said.get("isDir") is True:
                continue
            item = _item(said)
            kept = {name: said[name] for name in (*_FIELDS, "coverArt") if name in said}
            self._said[item.id] = kept
            yield item

    def fetch(self, item: Item, into: Sink) -> str:
        self._flow.begin()
        self._download("download", item.id, into, item.size)
        return item.suffix

    def _download(self, call: str, id_: str, into: Sink, n_bytes: int | None) -> None:
        manner = Manner(self._flow.passed, self._flow.hold, n_bytes)
        try:
            self._server.download(call, id_, into, manner)
        except (UnreachableError, NoFileError) as error:
            if error.status:  # it wants us to wait, whatever we ask for
                remedy = "Run the same command again when it is back"
                raise ServerError(self._where, error.found, remedy=remedy) from error
            self._server.require_there()
            raise UnavailableError(error.found) from error
        except (DownloadError, RefusedError) as error:
            raise UnavailableError(error.found) from error

    def beside(self, item: Item, name: bytes) -> Iterator[tuple[bytes, Item]]:  # noqa: ARG002
        return iter(())

    def tags(self, item: Item) -> Filling:
        said = self._said[item.id]
        fields = {name: text(said, theirs) for theirs, name in _FIELDS.items()} | {"albumartist": item.albumartist}
        return Filling({name: value for name, value in fields.items() if value}, self._cover(text(said, "coverArt")))

    def _cover(self, id_: str) -> Cover | None:
        if not id_:
            return None
        if id_ not in self._covers:
            self._covers[id_] = self._fetched_cover(id_)
            if len(self._covers) > _MOST_COVERS:
                self._covers.popitem(last=False)
        return self._covers[id_]

    def _fetched_cover(self, id_: str) -> Cover | None:
        picture = Picture()
        try:
            self._download("getCoverArt", id_, picture, None)
        except UnavailableError:  # the file is kept without
            return None
        return picture.cover

    def playlists(self) -> Iterator[SourcePlaylist]:
        for playlist in self._server.playlists():
            if not playlist.owner:
                yield SourcePlaylist(playlist.id, playlist.name, playlist.songs)


def _item(said: Mapping[str, Any]) -> Item:
    artists = [text(each, "name") for each in tables(said, "albumArtists")]
    return Item(
        id=text(said, "id"),
        title=text(said, "title"),
        artist=text(said, "artist"),
        albumartist=text(said, "displayAlbumArtist") or ", ".join(filter(None, artists)),
        album=text(said, "album"),
        disc=number(said, "discNumber"),
        track=number(said, "track"),
        duration_s=float(number(said, "duration")),
        size=number(said, "size") or None,
        suffix=text(said, "suffix").lstrip("."),
    )
