"""The table `track`: the files, as last seen."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from dedup.store.audios import Audio, Audios
from dedup.store.database import Database
from dedup.store.fingerprints import Fingerprints
from dedup.store.measurements import MEASUREMENT_VERSION, Measured, Measurements
from dedup.store.meta import NEW_ID
from dedup.store.table import Table

State = Literal["present", "absent", "imported"]


@dataclass(frozen=True)
class Track:
    """One file, as the catalog remembers it."""

    id: int
    path: bytes
    root: bytes
    volume: bytes
    """Mount point that held the file when it was last seen."""
    size: int
    mtime_ns: int
    inode: int
    device: int
    state: State
    partial: bytes | None = None
    full: bytes | None = None
    audio: int | None = None
    """Row of its audio; None if it has no fingerprint, and then `problem` says why."""
    problem_kind: Literal["failed", "skipped"] | None = None
    problem: str | None = None
    judged_by: str | None = None
    """`ScanSettings.judgement` under which the problem arose."""
    properties: str = "{}"
    """JSON of `metadata.AudioProperties`."""


@dataclass(frozen=True, slots=True)
class KnownTrack:
    """What a scan needs of a track to decide whether its file is unchanged."""

    path: bytes
    volume: bytes
    size: int
    mtime_ns: int
    state: Literal["present", "absent"]
    audio: int | None
    problem_kind: Literal["failed", "skipped"] | None
    problem: str | None
    judged_by: str | None = None
    """Scan settings under which the problem arose."""
    device: int = 0
    inode: int = 0
    is_outdated: bool = False
    """Whether an older version of Reprise read its properties (`metadata.PROPERTIES_VERSION`)."""


Properties = TypeVar("Properties")


class HeardTrack(NamedTuple, Generic[Properties]):
    """A track with its audio and fingerprint; fields as in `Track` and `Audio`. A tuple, since a report makes one for
    each track of a library."""

    path: bytes
    root: bytes
    state: State
    size: int
    mtime_ns: int
    device: int
    inode: int
    full: bytes | None
    audio: int
    stream: bytes | None
    key: str
    damage: str | None
    fingerprint: int
    """Id of its fingerprint; tracks whose fingerprints are equal to the last bit share one."""
    digest: bytes
    """Digest of its items."""
    n_items: int
    n_distinct: int
    """Number of different items, without silence."""
    properties: Properties
    """What `Tracks.heard` was to make of its properties."""
    decoded_s: float | None = None
    """Seconds of sound that decoding gave; None if unknown (`audios.Decoding`)."""
    n_bytes: int | None = None
    cancels: int | None = None
    width_db: float | None = None

    def __hash__(self) -> int:
        return hash((self.path, self.size, self.mtime_ns))


Heard = TypeVar("Heard", bound=HeardTrack[Any])


class Trouble(NamedTuple):
    """A file that cannot be used, as it was when last seen, and why."""

    path: bytes
    size: int
    mtime_ns: int
    problem: str


class Tracks(Table):
    """One row per path."""

    name = "track"

    def __init__(
        self, database: Database, audios: Audios, fingerprints: Fingerprints, measurements: Measurements
    ) -> None:
        super().__init__(database)
        self.audios, self.fingerprints, self.measurements = audios, fingerprints, measurements

    # ---- whole tracks ----

    def all(self) -> Iterator[Track]:
        """All tracks, in the order of their paths."""
        return self._select("")

    def with_audio(self) -> Iterator[tuple[Track, Audio | None, Measured | None]]:
        """All tracks, in the order of their paths, each with its audio and what was measured of that."""
        tables = (self, self.audios, self.measurements)
        query = (
            f"SELECT {', '.join(table.selected for table in tables)} FROM track "
            "LEFT JOIN audio ON audio.id = track.audio LEFT JOIN measurement ON measurement.audio = audio.id "
            "ORDER BY track.path"
        )
        to_audio = len(self.columns) + 1
        to_measured = to_audio + len(self.audios.columns) + 1
        for row in self.connection.execute(query):
            track = Track(*self.verified(row[:to_audio]))
            audio = None if row[to_audio] is None else Audio(*self.audios.verified(row[to_audio:to_measured]))
            measured = None
            if row[to_measured] is not None:
                _, version, *found = self.measurements.verified(row[to_measured:])
                measured = Measured(*found) if version == MEASUREMENT_VERSION else None
            yield track, audio, measured

    def get(self, path: bytes) -> Track | None:
        return next(self._select("WHERE path = ?", (path,)), None)

    def of_paths(self, paths: Collection[bytes]) -> dict[bytes, Track]:
        """The tracks of these paths, by path; those that there are."""
        return {row[1]: Track(*row) for row in self.rows_of("path", paths)}

    def volumes_below(self, folder: bytes) -> set[bytes]:
        """The mount points of the volumes on which the tracks below a folder were."""
        beginning = folder.rstrip(b"/") + b"/"
        query = "SELECT DISTINCT volume FROM track WHERE path > ? AND path < ? AND state != 'imported'"
        return {volume for (volume,) in self.connection.execute(query, (beginning, beginning[:-1] + b"0"))}

    def at(self, id_: int) -> Track | None:
        """The track with this id."""
        return next(self._select("WHERE id = ?", (id_,)), None)

    def twins(self, size: int, partial: bytes) -> Iterator[Track]:
        """Present tracks with audio that have this size and partial hash, in the order of their paths."""
        which = "WHERE size = ? AND partial = ? AND audio IS NOT NULL AND state = 'present'"
        return self._select(which, (size, partial))

    def _select(self, which: str, parameters: Sequence[Any] = ()) -> Iterator[Track]:
        return (Track(*row) for row in self.read_rows(f"{which} ORDER BY path", parameters))

    def known(self, properties_version: int) -> Iterator[KnownTrack]:
        """All tracks that a scan has seen, in the order of their paths. Those whose properties have a lower version are
        outdated."""
        query = (
            f"SELECT CASE WHEN properties = '{{}}' THEN 0 WHEN json_valid(properties) "
            "THEN IFNULL(json_extract(properties, '$.version'), 1) < ? ELSE 1 END, "
            f"{self.selected} FROM track WHERE state != 'imported' ORDER BY path"
        )
        for is_outdated, *row in self.connection.execute(query, (properties_version,)):
            track = Track(*self.verified(tuple(row)))
            assert track.state != "imported"
            yield KnownTrack(
                *(track.path, track.volume, track.size, track.mtime_ns, track.state, track.audio),
                *(track.problem_kind, track.problem, track.judged_by, track.device, track.inode, bool(is_outdated)),
            )

    def heard(
        self, kind: type[Heard], fingerprints: Iterable[int], properties_of: Callable[[str], Any]
    ) -> Iterator[Heard]:
        """The tracks that hold any of these fingerprints, as HeardTrack or a class that extends it, each with what
        `properties_of` makes of its properties."""
        tables = (self, self.audios, self.fingerprints)
        query = (
            f"SELECT {', '.join(table.selected for table in tables)} "
            "FROM fingerprint JOIN audio ON audio.fingerprint = fingerprint.id "
            "LEFT JOIN track ON track.audio = audio.id WHERE fingerprint.id IN (SELECT value FROM json_each(?))"
        )
        once: Callable[[Any, Any], Any] = dict[Any, Any]().setdefault
        """Gives the first of equal texts, such as the root of all tracks: each is held once."""
        to_audio = len(self.columns) + 1
        to_fingerprint = to_audio + len(self.audios.columns) + 1
        for row in self.connection.execute(query, (json.dumps(sorted(fingerprints)),)):
            audio = self.audios.verified(row[to_audio:to_fingerprint])
            fingerprint = self.fingerprints.verified(row[to_fingerprint:])
            if row[0] is None:  # retired, unless its id is another now: then it was not verified
                continue
            track = self.verified(row[:to_audio])
            _, path, root, _, size, mtime_ns, inode, device, state, _, full, *_, properties = track
            id_, stream, key, damage, _, decoded_s, n_bytes, cancels, width_db = audio
            yield kind(
                *(path, once(root, root), once(state, state), size, mtime_ns, device, inode, full, id_, stream),
                *(once(key, key), damage),
                *(*fingerprint[:4], properties_of(properties), decoded_s, n_bytes, cancels, width_db),
            )

    # ---- single columns and counts ----

    def roots(self) -> list[bytes]:
        """The roots below which the tracks were found."""
        query = f"SELECT MIN(track.id), {self.selected} FROM track GROUP BY root"  # MIN: the others are of that row
        return [self.verified(tuple(row))[2] for _, *row in self.connection.execute(query)]

    def paths(self) -> Iterator[tuple[int, bytes]]:
        """Id and path of each track: an index has both, so SQLite reads no row."""
        yield from self.connection.execute("SELECT id, path FROM track")

    def properties_of_present(self, ids: Sequence[int]) -> Iterator[tuple[bytes, str]]:
        """Path and properties of those among `ids` that are present."""
        which = "WHERE id IN (SELECT value FROM json_each(?)) AND state = 'present'"
        for row in self.read_rows(which, (json.dumps(ids),)):
            yield row[1], row[-1]

    def unhashed_twins(self) -> Iterator[tuple[bytes, int, int]]:
        """Path, size and modification time of the present tracks without a full hash that share size and partial hash
        with another, in the order of their paths."""
        rows = self.read_rows(
            "WHERE state = 'present' AND audio IS NOT NULL AND full IS NULL AND (size, partial) IN "
            "(SELECT size, partial FROM track WHERE state = 'present' AND audio IS NOT NULL AND partial IS NOT NULL "
            "GROUP BY size, partial HAVING COUNT(*) > 1) ORDER BY path"
        )
        return ((row[1], row[4], row[5]) for row in rows)

    def troubles(self) -> set[Trouble]:
        """The files that cannot be used."""
        query = "SELECT path, size, mtime_ns, problem FROM track WHERE problem IS NOT NULL"
        return {Trouble(*row) for row in self.connection.execute(query)}

    def unusable(self) -> Iterator[tuple[bytes, str, str]]:
        """Path, kind of problem and problem of the tracks without audio, in the order of their paths."""
        for row in self.read_rows("WHERE audio IS NULL ORDER BY path"):
            track = Track(*row)
            yield track.path, track.problem_kind or "failed", track.problem or ""

    def at_fault(self) -> Iterator[tuple[bytes, str | None, bool]]:
        """Path, damage, and whether the channels cancel, of the present tracks with either, in the order of their
        paths."""
        query = (
            f"SELECT track.path, {self.audios.selected} FROM track JOIN audio ON audio.id = track.audio "
            "WHERE track.state = 'present' AND (audio.damage IS NOT NULL OR audio.cancels) ORDER BY track.path"
        )
        for path, *row in self.connection.execute(query):
            _, _, _, damage, _, _, _, cancels, _ = self.audios.verified(tuple(row))
            yield path, damage, bool(cancels)

    def count_by_state(self) -> dict[str, int]:
        """The number of tracks with audio, by state."""
        query = "SELECT state, COUNT(*) FROM track WHERE audio IS NOT NULL GROUP BY state ORDER BY state"
        return dict(self.connection.execute(query))

    def count_by_problem(self) -> dict[str, int]:
        """The number of tracks without audio, by the kind of their problem."""
        query = "SELECT problem_kind, COUNT(*) FROM track WHERE audio IS NULL GROUP BY problem_kind ORDER BY 1"
        return dict(self.connection.execute(query))

    def count_resting_on(self, block: str) -> tuple[int, int]:
        """The number of tracks with their fingerprint in this block, and the number of imported ones among them."""
        query = (
            "SELECT COUNT(*), IFNULL(SUM(state = 'imported'), 0) FROM track JOIN audio ON audio.id = track.audio "
            "JOIN fingerprint ON fingerprint.id = audio.fingerprint WHERE fingerprint.block = ?"
        )
        n_tracks, n_imported = self.connection.execute(query, (block,)).fetchone()
        return n_tracks, n_imported

    def holding(self, contents: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Content (`judgements.content`) and path of the tracks with one of these contents, in the order of their
        paths."""
        found = self.connection.execute(
            "SELECT IFNULL(audio.stream, fingerprint.digest) AS content, track.path FROM track "
            "JOIN audio ON audio.id = track.audio JOIN fingerprint ON fingerprint.id = audio.fingerprint "
            "ORDER BY track.path"
        )
        return (row for row in found if row[0] in contents)

    def highest_id(self) -> int:
        """The highest id; 0 if there is no track."""
        return int(self.connection.execute("SELECT IFNULL(MAX(id), 0) FROM track").fetchone()[0])

    def new_since(self, track: int, audio: int) -> set[bytes]:
        """Paths of the tracks whose audio has a higher id than `audio`, or that have a higher id than `track` and are
        not the first of their audio: that one may be a file that came back. A known path with other tags has new audio
        too if its packets cannot be told, but the fingerprint that it had."""
        query = (
            "SELECT it.path FROM track AS it JOIN audio AS its ON its.id = it.audio WHERE it.audio > :audio AND NOT "
            "(it.id <= :track AND EXISTS (SELECT 1 FROM audio WHERE audio.fingerprint = its.fingerprint "
            "AND audio.id <= :audio)) UNION "
            "SELECT path FROM track AS it WHERE id > :track "
            "AND EXISTS (SELECT 1 FROM track WHERE track.audio = it.audio AND track.id < it.id)"
        )
        return {row[0] for row in self.connection.execute(query, {"track": track, "audio": audio})}

    # ---- changes ----

    def put(self, track: Track, moved_from: bytes | None = None) -> None:
        """Inserts the track or replaces the one at its path, or that at `moved_from`, whose id it gets: to the news it
        is the same file. Ignores `track.id`."""
        query = (
            "SELECT IFNULL((SELECT id FROM track WHERE path = ?), IFNULL((SELECT id FROM track WHERE path = ?), "
            f"{NEW_ID.format('track')}))"
        )
        (number,) = self.connection.execute(query, (track.path, moved_from)).fetchone()
        self._put(number, track)

    def put_all(self, tracks: Sequence[Track]) -> None:
        """Inserts these tracks, of different paths, or replaces those at their paths. Ignores their ids."""
        known = {path: track.id for path, track in self.of_paths([track.path for track in tracks]).items()}
        (first,) = self.connection.execute(f"SELECT {NEW_ID.format('track')}").fetchone()
        new_ids = itertools.count(first)
        columns = self.columns[1:]
        rows = (
            (known.get(track.path) or next(new_ids), *[getattr(track, column) for column in columns])
            for track in tracks
        )
        self.put_rows(rows, "INSERT OR REPLACE")

    def put_back(self, track: Track) -> None:
        """Inserts a track that was dropped, with the id that it had unless that is another's now: to the news it was
        never away. Replaces the one at its path."""
        others = self.connection.execute("SELECT 1 FROM track WHERE id = ? OR path = ?", (track.id, track.path))
        if others.fetchone() is None:
            self._put(track.id, track)
        else:
            self.put(track)

    def _put(self, number: int, track: Track) -> None:
        self.put_rows([(number, *(getattr(track, column) for column in self.columns[1:]))], "INSERT OR REPLACE")

    def set_place(self, places: Iterable[tuple[bytes, int, int, bytes]]) -> None:
        """Records the current volume, device and inode of each path."""
        changes = ((path, volume, device, inode) for volume, device, inode, path in places)
        self.change("path", ["volume", "device", "inode"], changes)

    def set_full(self, path: bytes, full: bytes) -> None:
        self.change("path", ["full"], [(path, full)])

    def set_properties(self, properties: Iterable[tuple[bytes, str]]) -> None:
        """Records the properties of each path, as JSON."""
        self.change("path", ["properties"], properties)

    def set_state(self, paths: Iterable[bytes], state: State) -> None:
        self.change("path", ["state"], ((path, state) for path in paths))

    def forget(self, paths: Iterable[bytes]) -> None:
        """Drops the tracks of these paths; their audio stays, and with it every finished comparison."""
        self.connection.executemany("DELETE FROM track WHERE path = ?", ((path,) for path in paths))

    def drop_of_audio(self, audio: int) -> None:
        """Drops the tracks that hold this audio."""
        self.connection.execute("DELETE FROM track WHERE audio = ?", (audio,))

    def drop_of(self, fingerprints: Iterable[int]) -> None:
        """Drops the tracks that hold any of these fingerprints."""
        query = "DELETE FROM track WHERE audio IN (SELECT id FROM audio WHERE fingerprint = ?)"
        self.connection.executemany(query, ((fingerprint,) for fingerprint in fingerprints))
