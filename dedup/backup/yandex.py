"""Yandex Music as a source: the tracks that a user likes and those of their playlists, by the package `yandex-music`,
which speaks its protocol. The user's own token is needed, and what it may download is for the service to say."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dedup.backup.flow import Flow
from dedup.backup.picture import Picture
from dedup.backup.source import Filling, Item, SourcePlaylist, UnavailableError
from dedup.errors import ServiceError, UsageError
from dedup.net.download import DownloadError, Manner, Request, UnreachableError, download
from dedup.net.http import session
from dedup.net.sink import Sink

if TYPE_CHECKING:
    import requests

    from dedup.tags.cover import Cover

log = logging.getLogger("reprise")

NAME = "Yandex Music"
URL = "https://api.music.yandex.net"

_BATCH = 100
"""Tracks that are asked about at a time."""
_READ_S = 30.0
_PAUSES_S = (2.0, 5.0, 15.0)
"""Pauses before each further try to ask the service."""
_CODECS = ("mp3", "flac", "aac")
"""Codecs of equal bit rates, best supported first."""
_COVER_SIZE = "1000x1000"
_USER_AGENT = "Reprise"

_T = TypeVar("_T")


class Yandex:
    """What the owner of a token listens to."""

    key = "yandex"
    folder, n_unlisted = b"", 0

    def __init__(self, token: str, flow: Flow, url: str = URL, http: requests.Session | None = None) -> None:
        """`http` fetches files and pictures. Raises UsageError if the package is not installed."""
        try:
            import yandex_music
        except ModuleNotFoundError as error:
            found, remedy = "yandex-music is not installed", "Install Reprise with its extra `yandex`"
            raise UsageError("backup yandex", found, remedy=remedy) from error
        self._errors, self._flow = yandex_music.exceptions, flow
        self._client = yandex_music.Client(token, base_url=url, on_schema_mismatch=_note)
        self._client.request.set_timeout(_READ_S)
        self._http = http or session(_USER_AGENT)
        self._tracks: dict[str, Any] = {}
        self._playlists: list[SourcePlaylist] = []

    def list(self) -> Iterator[Item]:
        self._asked(self._client.init)
        liked = self._asked(self._client.users_likes_tracks)
        ids = [_id(each) for each in (liked.tracks if liked is not None else ())]
        if ids:
            self._playlists.append(SourcePlaylist("likes", "Likes", ids))
        for each in self._asked(self._client.users_playlists_list):
            whole = self._asked(functools.partial(self._client.users_playlists, each.kind))
            if whole is not None:
                playlist = SourcePlaylist(str(each.kind), whole.title or "", [_id(track) for track in whole.tracks])
                self._playlists.append(playlist)
        every = dict.fromkeys(itertools.chain.from_iterable(playlist.items for playlist in self._playlists))
        for some in _batches([*every]):
            for track in self._asked(functools.partial(self._client.tracks, some)):
                self._tracks[str(track.id)] = track
                yield _item(track)

    def fetch(self, item: Item, into: Sink) -> str:
        self._flow.begin()
        infos = self._one(functools.partial(self._client.tracks_download_info, item.id))
        whole = [info for info in infos if not info.preview and info.codec in _CODECS]
        if not whole:
            found = "only a preview of it may be fetched" if infos else "it may not be fetched"
            raise UnavailableError(f"{found} with this account")
        best = max(whole, key=lambda info: (info.bitrate_in_kbps, -_CODECS.index(info.codec)))
        link = self._one(best.get_direct_link)
        self._download(link, into)
        return str(best.codec)

    def _download(self, url: str, into: Sink) -> None:
        try:
            download(self._http, Request(url), into, Manner(self._flow.passed, self._flow.hold))
        except UnreachableError as error:
            raise ServiceError(NAME, error.found, remedy="Run the same command again later") from error
        except DownloadError as error:
            raise UnavailableError(error.found) from error

    def beside(self, item: Item, name: bytes) -> Iterator[tuple[bytes, Item]]:  # noqa: ARG002
        return iter(())

    def tags(self, item: Item) -> Filling:
        track = self._tracks[item.id]
        album = _album(track)
        year = getattr(album, "year", None)
        fields = {
            "title": item.title,
            "artist": item.artist,
            "albumartist": item.albumartist,
            "album": item.album,
            "tracknumber": str(item.track or ""),
            "discnumber": str(item.disc or ""),
            "date": str(year or ""),
            "genre": str(getattr(album, "genre", None) or ""),
            "isrc": str(track.isrc or ""),
        }
        uri = track.cover_uri or getattr(album, "cover_uri", None)
        return Filling({name: value for name, value in fields.items() if value}, self._cover(str(uri or "")))

    def _cover(self, uri: str) -> Cover | None:
        if not uri:
            return None
        picture = Picture()
        try:
            self._download(f"https://{uri.replace('%%', _COVER_SIZE)}", picture)
        except UnavailableError:  # the file is kept without
            return None
        return picture.cover

    def playlists(self) -> Iterator[SourcePlaylist]:
        return iter(self._playlists)

    def _one(self, call: Callable[[], _T]) -> _T:
        """What the service says of one track. Raises UnavailableError."""
        try:
            return self._asked(call, is_of_one=True)
        except (self._errors.BadRequestError, self._errors.NotFoundError) as error:
            raise UnavailableError("the service no longer has it") from error

    def _asked(self, call: Callable[[], _T], is_of_one: bool = False) -> _T:
        """What a call of the package gives, tried again when the net fails. Raises ServiceError. No message holds what
        the service said, which may repeat what was sent."""
        for pause_s in (*_PAUSES_S, None):
            self._flow.require_time()
            try:
                return call()
            except self._errors.UnauthorizedError:
                remedy = "Give a token that is valid, with --token-file or --token-command"
                raise ServiceError(NAME, "does not accept the token", remedy=remedy) from None
            except (self._errors.BadRequestError, self._errors.NotFoundError):
                if is_of_one:
                    raise
                raise ServiceError(NAME, "refuses what it was asked", remedy="Look for a newer release") from None
            except (self._errors.YandexMusicError, OSError, ValueError, TypeError, KeyError) as error:
                if pause_s is None:
                    found = f"cannot be asked ({type(error).__name__})"
                    raise ServiceError(NAME, found, remedy="Run the same command again later") from None
                self._flow.hold(pause_s)
        raise AssertionError("the last try returns or raises")


def _note(mismatch: object) -> None:
    log.debug("Yandex Music answers otherwise than its package expects: %s", mismatch)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH))


def _id(track: Any) -> str:
    """The id of a track in a list, without that of the album by which it got there."""
    return str(track.id)


def _album(track: Any) -> Any:
    """The album of a track; None if it has none."""
    return track.albums[0] if track.albums else None


def _names(artists: Any) -> str:
    return ", ".join(str(artist.name) for artist in artists or () if artist.name)


def _item(track: Any) -> Item:
    album = _album(track)
    place = getattr(album, "track_position", None)
    version = f" ({track.version})" if track.version else ""
    return Item(
        id=str(track.id),
        title=f"{track.title or ''}{version}",
        artist=_names(track.artists),
        albumartist=_names(getattr(album, "artists", None)),
        album=str(getattr(album, "title", None) or ""),
        disc=getattr(place, "volume", None) or 0,
        track=getattr(place, "index", None) or 0,
        duration_s=(track.duration_ms or 0) / 1000,
    )
