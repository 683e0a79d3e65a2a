"""The table `audio`: distinct audio streams, each with its fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import NamedTuple

from dedup.store.database import Table
from dedup.store.meta import NEW_ID


@dataclass(frozen=True)
class Audio:
    """One distinct audio stream: tracks with the same stream share it, and its fingerprint."""

    id: int
    stream: bytes | None
    """`identity.stream_hash` of its packets; None for imported fingerprints and streams that break off."""
    key: str
    """`metadata.audio_key`."""
    damage: str | None
    fingerprint: int
    decoded_s: float | None = None
    """These and the following are fields of `Decoding`."""
    n_bytes: int | None = None
    cancels: int | None = None
    width_db: float | None = None


@dataclass(frozen=True)
class Decoding:
    """What decoding an audio showed; None for what is unknown: imported, or decoded by a version that did not say."""

    decoded_s: float | None = None
    """Seconds of sound that came out, whatever the header claims."""
    n_bytes: int | None = None
    """Bytes of its packets."""
    cancels: bool | None = None
    """Whether its channels cancel in a mono mix, so that the fingerprint is of what does not."""
    width_db: float | None = None
    """Level of what differs between left and right, relative to what they share, in dB; -inf is not stored, the least
    is -120. None for one channel."""


UNKNOWN = Decoding()


def measured_bitrate(decoded_s: float | None, n_bytes: int | None) -> int | None:
    """Bits per second of the packets of an audio; None if decoding did not show it."""
    return round(8 * n_bytes / decoded_s) if decoded_s and n_bytes else None


class Hallmark(NamedTuple):
    """What distinguishes an audio from others."""

    stream: bytes | None
    digest: bytes
    """Digest of its fingerprint's items."""
    fingerprint: int


COLUMNS = "id, stream, key, damage, fingerprint, decoded_s, n_bytes, cancels, width_db"


class Audios(Table):
    """One row per audio. It stays when its tracks are gone, until its fingerprint is dropped."""

    def get(self, audio: int | None) -> Audio | None:
        """The audio with this id; None if there is none."""
        row = self.connection.execute(f"SELECT {COLUMNS} FROM audio WHERE id = ?", (audio,)).fetchone()
        return None if row is None else Audio(*row)

    def streams_of_key(self, key: str) -> dict[bytes, int]:
        """Ids of the audios with this key, by stream hash; the oldest if several share a hash."""
        query = "SELECT stream, id FROM audio WHERE key = ? AND stream IS NOT NULL ORDER BY id DESC"
        return dict(self.connection.execute(query, (key,)))

    def hallmark(self, audio: int) -> Hallmark:
        """The hallmark of an audio that exists."""
        query = (
            "SELECT audio.stream, fingerprint.digest, fingerprint.id FROM audio "
            "JOIN fingerprint ON fingerprint.id = audio.fingerprint WHERE audio.id = ?"
        )
        return Hallmark(*self.connection.execute(query, (audio,)).fetchone())

    def called_same(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Content (`judgements.content`), digest and id of the fingerprint, of everything that tracks hold and that a
        person called the same as something else; each once."""
        query = (
            "WITH said (content) AS (SELECT content_a FROM judgement WHERE same UNION "
            "SELECT content_b FROM judgement WHERE same), "
            "held (content, audio) AS (SELECT content, audio.id FROM said JOIN audio ON audio.stream = content UNION "
            "SELECT content, audio.id FROM said JOIN fingerprint ON fingerprint.digest = content "
            "JOIN audio ON audio.fingerprint = fingerprint.id WHERE audio.stream IS NULL) "
            "SELECT DISTINCT held.content, fingerprint.digest, fingerprint.id FROM held "
            "JOIN audio ON audio.id = held.audio JOIN fingerprint ON fingerprint.id = audio.fingerprint "
            "WHERE EXISTS (SELECT 1 FROM track WHERE track.audio = held.audio)"
        )
        yield from self.connection.execute(query)

    def highest_id(self) -> int:
        """The highest id; 0 if there is no audio."""
        return int(self.connection.execute("SELECT IFNULL(MAX(id), 0) FROM audio").fetchone()[0])

    def add(
        self,
        fingerprint: int,
        stream: bytes | None,
        key: str,
        damage: str | None,
        decoding: Decoding = UNKNOWN,
    ) -> int:
        """Records an audio with this fingerprint; returns its id."""
        cursor = self.connection.execute(
            f"INSERT INTO audio ({COLUMNS}) VALUES ({NEW_ID.format('audio')}, ?, ?, ?, ?, ?, ?, ?, ?)",
            (stream, key, damage, fingerprint, *astuple(decoding)),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_decoded_columns(self) -> None:
        """Adds what a catalog of version 1 lacks, as in `schema.sql`."""
        for column in ("decoded_s REAL", "n_bytes INTEGER", "cancels INTEGER", "width_db REAL"):
            self.connection.execute(f"ALTER TABLE audio ADD COLUMN {column}")

    def index_streams(self) -> None:
        """Adds the index that a catalog of version 2 lacks, as in `schema.sql`."""
        self.connection.execute("CREATE INDEX audio_stream ON audio (stream) WHERE stream IS NOT NULL")

    def drop_of(self, fingerprints: Iterable[int]) -> None:
        """Drops the audios of these fingerprints, which no track holds."""
        self.connection.executemany("DELETE FROM audio WHERE fingerprint = ?", ((f,) for f in fingerprints))
