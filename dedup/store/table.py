"""What all tables of the catalog have in common: rows are verified as they are read, and sealed as they are written."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, ClassVar

from dedup.errors import StoreDamagedError
from dedup.store.database import Database
from dedup.store.digests import COLUMNS, DIGEST_BYTES, is_sound, row_digest, sealed

Row = tuple[Any, ...]

VALUES_AT_ONCE = 500
"""Values that one query looks for: some builds of SQLite take 999 at most."""


class Table:
    """A table of a database; its methods are all the queries on it. Callers wrap a method that writes several rows in a
    transaction."""

    name: ClassVar[str]
    keys: ClassVar[int] = 1
    """Number of columns, the first ones, that make up the primary key."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = database.connection
        self.columns = COLUMNS[self.name]
        self.selected = ", ".join(f"{self.name}.{column}" for column in (*self.columns, "row_digest"))
        """The columns of a whole row, with its digest, for a query that `verified` takes rows from."""
        self._key = f"({', '.join(self.columns[: self.keys])}) = ({', '.join('?' * self.keys)})"

    # ---- reading ----

    def read_rows(self, which: str = "", parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Rows without their digest. Raises StoreDamagedError for one that does not match it."""
        query = f"SELECT {self.selected} FROM {self.name} {which}"
        return (self.verified(row) for row in self.connection.execute(query, parameters))

    def rows_of(self, key: str, values: Collection[Any]) -> Iterator[Row]:
        """The rows, as `read_rows` gives them, whose column `key` has one of these values."""
        left = iter(values)
        while some := list(itertools.islice(left, VALUES_AT_ONCE)):
            yield from self.read_rows(f"WHERE {key} IN ({', '.join('?' * len(some))})", some)

    def verified(self, row: Row) -> Row:
        """A whole row without its digest, its last value. Raises StoreDamagedError if it does not match it."""
        values = row[:-1]
        if row_digest(self.name, values) != row[-1]:
            raise self.damage(f"row {self.title(row)} of table {self.name} does not match its digest")
        return values

    def damage(self, found: str) -> StoreDamagedError:
        """The error for rows that cannot be used."""
        return StoreDamagedError(
            f"catalog {self.database.path}",
            found,
            remedy="Run `reprise check --repair`, then `reprise full`, which redoes only what is lost",
        )

    def sound(self, which: str = "", parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows that match their digest, without it."""
        query = f"SELECT {self.selected} FROM {self.name} {which}"
        return (row[:-1] for row in self.connection.execute(query, parameters) if is_sound(self.name, row))

    def with_verdict(self) -> Iterator[tuple[bool, Row]]:
        """All rows without their digest, each with whether it matches that."""
        query = f"SELECT {self.selected} FROM {self.name}"
        return ((is_sound(self.name, row), row[:-1]) for row in self.connection.execute(query))

    def unsound(self) -> Iterator[Row]:
        """The rows that do not match their digest, without it."""
        return (row for is_sound, row in self.with_verdict() if not is_sound)

    def row_digests(self) -> bytes:
        """The digests of all rows one after the other, as they are. SQLite joins them in half of the time that it takes
        to hand them over."""
        query = f"SELECT CAST(group_concat(row_digest, '') AS BLOB) FROM {self.name}"
        (joined,) = self.connection.execute(query).fetchone()
        return joined or b""

    def title(self, row: Row) -> str:
        """The key of a row in text."""
        return "-".join(key.hex() if isinstance(key, bytes) else str(key) for key in row[: self.keys])

    # ---- writing ----

    def put_rows(self, rows: Iterable[Sequence[Any]], how: str = "INSERT", conflict: str = "") -> None:
        """Writes whole rows, and their digest with each."""
        names = ", ".join((*self.columns, "row_digest"))
        marks = ", ".join("?" * (len(self.columns) + 1))
        statement = f"{how} INTO {self.name} ({names}) VALUES ({marks}) {conflict}"
        self.connection.executemany(statement, (sealed(self.name, row) for row in rows))

    def change(self, key: str, columns: Sequence[str], changes: Iterable[Sequence[Any]]) -> None:
        """Sets `columns` of the row with a value of the unique column `key`, if there is one: each change is that value
        and the new values. Raises StoreDamagedError for a row that does not match its digest: sealed again, it would
        pass for sound."""
        names = (*columns, "row_digest")
        update = f"UPDATE {self.name} SET {', '.join(f'{name} = ?' for name in names)} WHERE {key} = ?"
        at, at_key = [self.columns.index(column) for column in columns], self.columns.index(key)
        left = iter(changes)
        while some := list(itertools.islice(left, VALUES_AT_ONCE)):
            rows = {row[at_key]: list(row) for row in self.rows_of(key, [value for value, *_ in some])}
            new_rows = []
            for value, *new in some:
                values = rows.get(value)
                if values is None:
                    continue
                for place, each in zip(at, new, strict=True):
                    values[place] = each
                whole = sealed(self.name, values)
                new_rows.append((*(whole[place] for place in at), whole[-1], value))
            self.connection.executemany(update, new_rows)

    def drop_row(self, key: Sequence[Any]) -> None:
        """Drops the row with this primary key, sound or not."""
        self.connection.execute(f"DELETE FROM {self.name} WHERE {self._key}", tuple(key))

    # ---- for an older catalog, and one made from what could still be read ----

    def add_digests(self) -> None:
        """Adds the column, as in `schema.sql`, to a catalog of a version without it, and seals the rows as they are."""
        self.connection.execute(f"ALTER TABLE {self.name} ADD COLUMN row_digest BLOB NOT NULL DEFAULT x''")
        self.seal()

    def seal(self) -> None:
        """Gives each row the digest of what it says."""
        update = f"UPDATE {self.name} SET row_digest = ? WHERE {self._key}"
        rows = self.connection.execute(f"SELECT {', '.join(self.columns)} FROM {self.name}")
        self.connection.executemany(update, ((row_digest(self.name, row), *row[: self.keys]) for row in rows))

    def unlike_older_digest(self) -> Iterator[Row]:
        """Keys of the rows of a catalog of version 2 that do not match its column `digest`: of the key and the last
        column, one after the other."""
        key, said = ", ".join(self.columns[: self.keys]), self.columns[-1]
        for *values, digest in self.connection.execute(f"SELECT {key}, {said}, digest FROM {self.name}"):
            data = b"".join(value.encode() if isinstance(value, str) else value for value in values)
            if blake2b(data, digest_size=DIGEST_BYTES).digest() != digest:
                yield tuple(values[: self.keys])

    def drop_older_digest(self) -> None:
        """Drops the column `digest` of version 2."""
        self.connection.execute(f"ALTER TABLE {self.name} DROP COLUMN digest")

    def unseal(self, keys: Iterable[Sequence[Any]]) -> None:
        """Leaves the rows with these primary keys without a digest: they do not match any more."""
        self.connection.executemany(f"UPDATE {self.name} SET row_digest = x'' WHERE {self._key}", keys)

    def drop_unsound(self) -> None:
        """Drops the rows that do not match their digest."""
        for row in list(self.unsound()):
            self.drop_row(row[: self.keys])
