"""The table `audio`: distinct audio streams, each with its fingerprint."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

from dedup.store.database import Database
from dedup.store.decoding import UNKNOWN, Decoding
from dedup.store.fingerprints import Fingerprints
from dedup.store.meta import NEW_ID
from dedup.store.table import VALUES_AT_ONCE, Row, Table


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


def measured_bitrate(decoded_s: float | None, n_bytes: int | None) -> int | None:
    """Bits per second of the packets of an audio; None if decoding did not show it."""
    return round(8 * n_bytes / decoded_s) if decoded_s and n_bytes else None


class Hallmark(NamedTuple):
    """What distinguishes an audio from others."""

    stream: bytes | None
    digest: bytes
    """Digest of its fingerprint's items."""
    fingerprint: int


class Audios(Table):
    """One row per audio. It stays when its tracks are gone, until its fingerprint is dropped."""

    name = "audio"

    def __init__(self, database: Database, fingerprints: Fingerprints) -> None:
        super().__init__(database)
        self.fingerprints = fingerprints

    def get(self, audio: int | None) -> Audio | None:
        """The audio with this id; None if there is none."""
        row = next(self.read_rows("WHERE id = ?", (audio,)), None)
        return None if row is None else Audio(*row)

    def streams_of_key(self, key: str) -> dict[bytes, int]:
        """Ids of the audios with this key, by stream hash; the oldest if several share a hash."""
        audios = (
            Audio(*row) for row in self.read_rows("WHERE key = ? AND stream IS NOT NULL ORDER BY id DESC", (key,))
        )
        return {audio.stream: audio.id for audio in audios if audio.stream is not None}

    def hallmark(self, audio: int) -> Hallmark:
        """The hallmark of an audio that exists."""
        _, stream, *_, fingerprint, _, _, _, _ = next(self.read_rows("WHERE id = ?", (audio,)))
        id_, digest, *_ = next(self.fingerprints.read_rows("WHERE id = ?", (fingerprint,)))
        return Hallmark(stream, digest, id_)

    def holding(self, contents: Collection[bytes]) -> Iterator[tuple[bytes, bytes, int]]:
        """Content (`judgements.content`), digest and id of the fingerprint, of every audio of tracks that holds one of
        these contents."""
        columns = f"{self.selected}, {self.fingerprints.selected}"
        n = len(self.columns) + 1
        found = set()
        for row in self._holding(contents, columns):
            (_, stream, *_), (id_, digest, *_) = self.verified(row[:n]), self.fingerprints.verified(row[n:])
            found.add((digest if stream is None else stream, digest, id_))
        return iter(found)

    def fingerprints_holding(self, contents: Collection[bytes]) -> set[int]:
        """Ids of the fingerprints of these audios. Nothing is verified: whoever reads the rows of these does so."""
        return {row[0] for row in self._holding(contents, "audio.fingerprint")}

    def _holding(self, contents: Collection[bytes], columns: str) -> Iterator[Row]:
        listed = list(contents)
        for at in range(0, len(listed), VALUES_AT_ONCE):
            said = listed[at : at + VALUES_AT_ONCE]
            query = (
                f"WITH said (content) AS (VALUES {', '.join(['(?)'] * len(said))}), "
                "held (id) AS (SELECT audio.id FROM said JOIN audio ON audio.stream = content UNION "
                "SELECT audio.id FROM said JOIN fingerprint ON fingerprint.digest = content "
                "JOIN audio ON audio.fingerprint = fingerprint.id WHERE audio.stream IS NULL) "
                f"SELECT {columns} FROM held JOIN audio ON audio.id = held.id "
                "JOIN fingerprint ON fingerprint.id = audio.fingerprint "
                "WHERE EXISTS (SELECT 1 FROM track WHERE track.audio = held.id)"
            )
            yield from self.connection.execute(query, said)

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
        (number,) = self.connection.execute(f"SELECT {NEW_ID.format('audio')}").fetchone()
        self.put_rows([(number, stream, key, damage, fingerprint, *astuple(decoding))])
        return int(number)

    def add_all(self, fingerprints: Sequence[int]) -> range:
        """Records an audio with each of these fingerprints, of which nothing else is known; returns their ids."""
        (first,) = self.connection.execute(f"SELECT {NEW_ID.format('audio')}").fetchone()
        ids = range(first, first + len(fingerprints))
        unknown = astuple(UNKNOWN)
        self.put_rows((id_, None, "", None, of, *unknown) for id_, of in zip(ids, fingerprints, strict=True))
        return ids

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
