"""The playlists of a source as M3U files beside what was taken from it. A file that a person changed stays as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from blake3 import blake3

from dedup.backup.place import name_it
from dedup.backup.source import Source, SourcePlaylist
from dedup.errors import writing
from dedup.files.held import Spot
from dedup.files.paths import printable
from dedup.files.safe_names import safe_name

if TYPE_CHECKING:
    from dedup.backup.place import Place
    from dedup.observer import Observer
    from dedup.store.store import Store

FOLDER = b"Playlists"

_HEAD = b"#EXTM3U\n"
_MARK = re.compile(rb"#REPRISE-BACKUP (\S+) (\S+) ([0-9a-f]{32})\n")
_MOST_BYTES = 64 << 20


def write_playlists(source: Source, place: Place, store: Store, observer: Observer) -> int:
    """Writes each playlist that lists a file that is here; gives their number. Raises WriteError, and what the source
    raises."""
    paths = {
        id_: row.path for id_, row in store.catalog.backups.of_source(source.key).items() if os.path.lexists(row.path)
    }
    n = 0
    for playlist in source.playlists():
        there = [paths[id_] for id_ in playlist.items if id_ in paths]
        if there:
            n += _write(playlist, there, source.key, place, observer)
    return n


def _write(playlist: SourcePlaylist, paths: Sequence[bytes], key: str, place: Place, observer: Observer) -> bool:
    folder = os.path.join(place.folder, FOLDER)
    body = b"".join(os.path.relpath(path, folder) + b"\n" for path in paths if not {*b"\r\n"} & {*path})
    owner = f"{quote(key, safe='', errors='replace')} {quote(playlist.id, safe='', errors='replace')}".encode()
    content = _HEAD + b"#REPRISE-BACKUP " + owner + b" " + _digest(body) + b"\n" + body
    with writing(printable(folder)), place.spot(os.path.join(folder, b"_"), make=True) as spot:
        name, is_changed = _name(playlist.name, owner, spot)
        if is_changed:
            observer.message(f"the playlist {printable(name)} was changed by hand, and stays as it is")
            return False
        target = spot.beside(name)
        part = spot.beside(b".reprise-playlist.part")
        part.discard()
        with part.create() as file:
            file.write(content)
            file.flush()
            place.permit(file.fileno())
            os.fsync(file.fileno())
        if target.exists():
            part.replace(target)
        else:
            name_it(part, target)
        spot.sync()
    return True


def _name(name: str, owner: bytes, folder: Spot) -> tuple[bytes, bool]:
    """The name of a playlist's file, and whether a person has changed it: the one that an earlier run wrote, or one
    that nothing has."""
    taken: list[str] = []
    while True:
        candidate = os.fsencode(safe_name(name, taken, extension=".m3u8"))
        spot = folder.beside(candidate)
        if not spot.exists():
            return candidate, False
        if spot.is_file():
            with spot.open() as file:
                content = file.read(_MOST_BYTES)
            mark = _MARK.match(content, len(_HEAD)) if content.startswith(_HEAD) else None
            if mark is not None and b" ".join(mark.group(1, 2)) == owner:
                return candidate, _digest(content[mark.end() :]) != mark[3]
        taken.append(os.fsdecode(candidate))


def _digest(body: bytes) -> bytes:
    return blake3(body).hexdigest(length=16).encode()
