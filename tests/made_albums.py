"""Made albums, as files in a store and as what AcoustID and MusicBrainz know of them, with what they know wrongly."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from dedup.fingerprint.acoustid_text import acoustid_text
from dedup.store.items import Items
from dedup.store.store import Store
from tests.lookup_service import Services, mbid
from tests.stores import add_track, recording

WORDS = [
    "amber",
    "birch",
    "copper",
    "dawn",
    "ember",
    "fjord",
    "garnet",
    "harbour",
    "iris",
    "juniper",
    "kestrel",
    "lantern",
    "meadow",
    "night",
    "orchard",
    "pebble",
    "quarry",
    "river",
    "silver",
    "thistle",
    "umber",
    "velvet",
    "willow",
    "yarrow",
    "zephyr",
]


@dataclass
class Piece:
    """A track of a made album."""

    album: int
    number: int
    title: str
    artist: str
    length_s: float
    recording: str
    items: Items

    @property
    def text(self) -> str:
        return acoustid_text(self.items, 1)

    @property
    def release(self) -> str:
        return mbid("release", self.album)


@dataclass
class Made:
    """Albums, and which of their files can be known."""

    pieces: list[Piece]
    knowable: set[bytes] = field(default_factory=set)
    truth: dict[bytes, Piece] = field(default_factory=dict)


def make_pieces(n_albums: int, n_tracks: int, seed: int = 1) -> list[Piece]:
    chance = random.Random(seed)
    found, titles = [], set()
    for album in range(n_albums):
        artist = f"{chance.choice(WORDS).title()} {chance.choice(WORDS).title()} {album}"
        for number in range(1, n_tracks + 1):
            while (title := " ".join(chance.sample(WORDS, 3)).title()) in titles:
                pass
            titles.add(title)
            at = album * n_tracks + number
            length_s = chance.uniform(150, 320)
            found.append(
                Piece(album, number, title, artist, length_s, mbid("recording", at), recording(at, 120)),
            )
    return found


def sound(piece: Piece, score: float, sources: int, *others: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """A result of AcoustID: a piece, and other recordings that some people take the same sound for."""
    own = named(piece, sources)
    return {
        "id": mbid("acoustid", number or int(piece.recording[-12:], 16)),
        "score": score,
        "recordings": [own, *others],
    }


def named(piece: Piece, sources: int) -> dict[str, Any]:
    """A recording as AcoustID names it: on its album, and on a later edition of that with more tracks."""
    editions = [
        edition(piece.release, album_title(piece.album), 10, 1990 + piece.album % 20),
        edition(mbid("later", piece.album), album_title(piece.album), 13, 2015),
    ]
    if piece.number <= 3:
        editions.append(edition(mbid("best", 0), "The Best of Everything", 40, 2001))
    return {
        "id": piece.recording,
        "title": piece.title,
        "duration": round(piece.length_s),
        "sources": sources,
        "artists": [{"id": mbid("artist", piece.album), "name": piece.artist}],
        "releases": editions,
    }


def edition(id_: str, title: str, n_tracks: int, year: int) -> dict[str, Any]:
    return {"id": id_, "title": title, "track_count": n_tracks, "medium_count": 1, "date": {"year": year}}


def album_title(album: int) -> str:
    return f"{WORDS[album % len(WORDS)].title()} and {WORDS[(3 * album + 7) % len(WORDS)].title()} {album}"


def release(id_: str, title: str, date: str, artist: tuple[str, str], pieces: list[Piece], more: int) -> dict[str, Any]:
    """A release as MusicBrainz gives it, with `more` tracks of which there are no files."""
    name, artist_id = artist
    credit = [{"name": name, "joinphrase": "", "artist": {"id": artist_id, "name": name}}]
    tracks = [
        {
            "id": mbid("track", 1000 * int(id_[-12:], 16) + at),
            "number": str(at),
            "position": at,
            "title": piece.title,
            "length": round(piece.length_s * 1000),
            "recording": {"id": piece.recording, "title": piece.title, "length": round(piece.length_s * 1000)},
            "artist-credit": [{"name": piece.artist, "joinphrase": "", "artist": {"id": mbid("artist", piece.album)}}],
        }
        for at, piece in enumerate(pieces, start=1)
    ]
    tracks += [
        {
            "id": mbid("track", 10**6 + 1000 * int(id_[-12:], 16) + at),
            "position": len(pieces) + at,
            "title": f"Bonus {at}",
            "length": 100_000,
            "recording": {"id": mbid("bonus", 100 * int(id_[-12:], 16) + at), "title": f"Bonus {at}"},
        }
        for at in range(1, more + 1)
    ]
    return {
        "id": id_,
        "title": title,
        "status": "Official",
        "date": date,
        "country": "XW",
        "artist-credit": credit,
        "release-group": {"id": mbid("group", int(id_[-12:], 16)), "primary-type": "Album", "secondary-types": []},
        "media": [{"position": 1, "format": "CD", "track-count": len(tracks), "tracks": tracks}],
    }


def publish(services: Services, pieces: list[Piece]) -> None:
    """Makes the releases of these pieces known to MusicBrainz."""
    albums = sorted({piece.album for piece in pieces})
    for album in albums:
        own = [piece for piece in pieces if piece.album == album]
        artist = own[0].artist, mbid("artist", album)
        for id_, date, more in (
            (mbid("release", album), f"{1990 + album % 20}-03-01", 0),
            (mbid("later", album), "2015", 3),
        ):
            services.releases[id_] = release(id_, album_title(album), date, artist, own, more)
    best = [piece for piece in pieces if piece.number <= 3]
    services.releases[mbid("best", 0)] = release(
        mbid("best", 0), "The Best of Everything", "2001", ("Various Artists", mbid("artist", 999)), best, 0
    )


def add_file(store: Store, piece: Piece, name: str, **tags: str) -> bytes:
    """Adds a file with that sound; returns its path."""
    said = {key: (value,) for key, value in tags.items()}
    add_track(store, name, piece.items, duration_s=piece.length_s, tags=said)
    return f"/music/{name}".encode()


def make_library(store: Store, services: Services, pieces: list[Piece], seed: int = 2) -> Made:
    """Albums in folders: every fourth is tagged, has numbers in its names, has neither, or has tags that say little.
    Of ten pieces the server knows nine, and some of these not alone; others it takes for what they are not."""
    chance, made = random.Random(seed), Made(pieces)
    publish(services, pieces)
    strange = make_pieces(8, 10, seed=99)
    for at, piece in enumerate(pieces):
        path = _add(store, piece, at)
        made.truth[path] = piece
        sources, score = chance.randint(5, 300), chance.uniform(0.92, 0.99)
        other = _renumbered(chance.choice(strange), at)
        wrong = named(other, chance.randint(1, 2)) | {"duration": round(piece.length_s)}
        if at % 10 == 3:
            services.sounds[piece.text] = _unknown(chance, piece, other, pieces)
            continue
        made.knowable.add(path)
        results = [sound(piece, score, sources, *([wrong] if at % 3 == 0 else []))]
        if at % 10 == 5:  # doubtful: another sound does nearly as well
            doubtful = sound(other, score - 0.01, sources, number=10_000 + at)
            doubtful["recordings"][0]["duration"] = round(piece.length_s)
            results = [doubtful, *results] if at % 20 == 5 else [*results, doubtful]
        elif at % 10 == 7:
            results.append(sound(other, chance.uniform(0.4, 0.85), 30, number=10_000 + at))
        services.sounds[piece.text] = results
    return made


def _renumbered(piece: Piece, at: int) -> Piece:
    return Piece(
        900 + piece.album, piece.number, piece.title, piece.artist, piece.length_s, mbid("strange", at), piece.items
    )


def _unknown(chance: random.Random, piece: Piece, other: Piece, pieces: list[Piece]) -> list[dict[str, Any]]:
    """What the server says of a piece that it does not know."""
    kind = piece.album % 5
    if kind == 0:
        return []
    if kind == 1:  # another song, surely
        wrong = sound(other, 0.97, 80, number=20_000 + piece.album)
        wrong["recordings"][0]["duration"] = round(piece.length_s)
        return [wrong]
    if kind == 2:  # the next track of the same album, whose length is another
        return [sound(_next(piece, pieces), 0.9, 40)]
    if kind == 3:  # the next track, as if it had the same length
        wrong = sound(_next(piece, pieces), 0.9, 40)
        wrong["recordings"][0]["duration"] = round(piece.length_s)
        return [wrong]
    return [sound(other, chance.uniform(0.3, 0.6), 3, number=20_000 + piece.album)]


def _next(piece: Piece, pieces: list[Piece]) -> Piece:
    return next(each for each in pieces if (each.album, each.number) == (piece.album, piece.number % 10 + 1))


def _add(store: Store, piece: Piece, at: int) -> bytes:
    folder, kind = f"album {piece.album:02}", piece.album % 4
    if kind == 0:
        tags = {"title": piece.title, "artist": piece.artist, "album": album_title(piece.album)}
        return add_file(store, piece, f"{folder}/{piece.number:02}.flac", tracknumber=str(piece.number), **tags)
    if kind == 1:
        return add_file(store, piece, f"{folder}/{piece.number:02} - x.flac")
    if kind == 2:
        return add_file(store, piece, f"{folder}/{piece.items[50]:08x}.flac")
    return add_file(store, piece, f"{folder}/part {at}.flac", title=f"Track {piece.number:02}", artist="Unknown Artist")


def make_doubtful_library(store: Store, services: Services, pieces: list[Piece], seed: int) -> Made:
    """The same albums, where a quarter of the pieces are surely taken for others, mostly of the same length, half of
    these for pieces of one other album; 15 % are unknown."""
    chance, made = random.Random(seed), Made(pieces)
    publish(services, pieces)
    n_albums = pieces[-1].album + 1
    for at, piece in enumerate(pieces):
        path = _add(store, piece, at)
        made.truth[path] = piece
        kind = chance.random()
        if 0.15 <= kind < 0.4:
            beside = [each for each in pieces if each.album == (piece.album + 1) % n_albums]
            other = chance.choice(beside if chance.random() < 0.5 else pieces)
            wrong = sound(other, chance.uniform(0.85, 0.99), chance.randint(1, 200))
            if chance.random() < 0.7:
                wrong["recordings"][0]["duration"] = round(piece.length_s) + chance.randint(-2, 2)
            services.sounds[piece.text] = [wrong, *([sound(piece, 0.7, 5)] if chance.random() < 0.3 else [])]
        elif kind >= 0.4:
            made.knowable.add(path)
            services.sounds[piece.text] = [sound(piece, chance.uniform(0.85, 0.99), chance.randint(1, 200))]
    return made
