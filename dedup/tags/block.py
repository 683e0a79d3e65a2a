"""One tag block of a file, such as ID3 or Vorbis comments: the part that all formats share. A file may have several,
such as an MP3 with ID3 and APEv2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

from dedup.tags.cover import Cover, Picture, fronts_of, others_of
from dedup.tags.extras import Held, Raw, picture_digest, picture_held
from dedup.tags.free_extras import extras_of, fields_of, texts_held
from dedup.tags.names import Family, named, spelling_of
from dedup.tags.values import PAIRS, normalised, rating_of_text

FREE_RANK = 10
"""Rank of a field of free name, which loses to the format's own field for the same."""


class Entry(NamedTuple):
    """What one raw field of a file says about a common field."""

    name: str
    rank: int
    """Rank of the raw field; 0 is the format's own. Of several entries for one name those of the lowest rank win."""
    values: tuple[str, ...]


class Block(ABC):
    """Reads and changes one tag block in memory; `save` writes it."""

    family: Family
    is_written = True
    """Whether it is changed; if not, it is only read."""
    length_s = 0.0
    """Length of the file, if chapters in its text fields need it."""

    def fields(self) -> dict[str, tuple[str, ...]]:
        """All text fields by common name, in their common form."""
        rank_of: dict[str, int] = {}
        found: dict[str, list[str]] = {}
        for name, rank, values in sorted(self.entries(), key=lambda entry: entry.rank):
            if any(map(str.strip, values)) and rank_of.setdefault(name, rank) == rank:
                found.setdefault(name, []).extend(values)
        return normalised(found)

    def extras(self, fields: Mapping[str, tuple[str, ...]]) -> list[Held]:
        """What hangs off the file, by this block, whose `fields` are given."""
        lyrics = {"lyrics": self.all_values("lyrics")} if "lyrics" in fields else {}
        in_text = extras_of({**fields, **lyrics}, self.family, self.length_s)
        pictures = map(picture_held, others_of(self.pictures()))
        return [*pictures, *in_text, *texts_held(self.other_texts())]

    def digests(self) -> set[str]:
        """Digests of all that hangs off the file, front covers included."""
        extras = {held.extra.digest for held in self.extras(self.fields())}
        return extras | {picture_digest(picture.cover.data) for picture in self.pictures()}

    def covers(self) -> list[Cover]:
        """The front covers."""
        return [picture.cover for picture in fronts_of(self.pictures())]

    def put_extra(self, held: Held) -> None:
        """Adds an extra beside those that are there, if there is a place for it."""
        if isinstance(held.content, Raw) and held.extra.form in ("text", "plain text"):
            self.put_text(held.content.key, held.content.data)
        for name, values in fields_of(held).items():
            self.put(name, (*self.all_values(name), *values))

    def all_values(self, name: str) -> tuple[str, ...]:
        """Values of a field in their common form, those that a better spelling hides included."""
        entries = sorted((entry for entry in self.entries() if entry.name == name), key=lambda entry: entry.rank)
        return normalised({name: [value for entry in entries for value in entry.values]}).get(name, ())

    def put(self, name: str, values: tuple[str, ...]) -> None:
        """Makes `values`, given in their common form, the whole value of a field; no values remove it. Values that the
        format's own field cannot hold exactly go to a field of free name."""
        number = next((number for number, total in PAIRS.items() if name in (number, total)), None)
        if number:
            old = self.fields()
            wanted = {part: old.get(part, ()) for part in (number, PAIRS[number])} | {name: values}
        else:
            wanted = {name: values}
        for part in wanted:
            self.remove(part)
        if number:
            self.put_pair(number, wanted[number], wanted[PAIRS[number]])
        elif values:
            self.put_native(name, values)
        for part, texts in wanted.items():
            if self.fields().get(part, ()) != texts:
                self.remove(part)
                self.put_free(part, texts)

    def put_pair(self, number: str, numbers: tuple[str, ...], totals: tuple[str, ...]) -> None:
        """Sets a number and of how many, in one field if the format has one for both, else in two."""
        for name, values in ((number, numbers), (PAIRS[number], totals)):
            if values:
                self.put_native(name, values)

    def put_native(self, name: str, values: tuple[str, ...]) -> None:
        """Sets the field by the format's own spelling."""
        spelling = spelling_of(name, self.family)
        if spelling.free:
            self.put_free(name, values)
        else:
            self.set_own(spelling.text, values)

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """What each raw field says."""

    def other_texts(self) -> Iterator[tuple[str, Iterable[str]]]:
        """Fields of free name that `entries` leaves out: not every format can hold that name."""
        return iter(())

    def put_text(self, key: str, values: tuple[str, ...]) -> None:
        """Sets a field of such a name."""
        self.set_own(key, values)

    @abstractmethod
    def pictures(self) -> list[Picture]:
        """All pictures, in their order."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes every raw field that gives values to this one; a total goes with its number."""

    @abstractmethod
    def set_own(self, spelling: str, values: tuple[str, ...]) -> None:
        """Sets the format's own field as far as it can hold the values."""

    @abstractmethod
    def put_free(self, name: str, values: tuple[str, ...]) -> None:
        """Sets a field of free name."""

    @abstractmethod
    def put_cover(self, cover: Cover) -> None:
        """Makes it the front cover, in place of the present one."""

    @abstractmethod
    def save(self, file: BinaryIO) -> None:
        """Writes the block to the file it was read from, which is open for reading and writing."""


def free_entry(key: str, values: Iterable[str]) -> Entry | None:
    """What a field of free name says. The scale of a plain "rating" must be guessed, so it ranks last; a rating with a
    listener's name after a colon is a share."""
    lower = key.strip().lower()
    if lower == "rating":
        return Entry("rating", FREE_RANK + 5, tuple(map(rating_of_text, values)))
    if lower.startswith("rating:"):
        return Entry("rating", FREE_RANK + 6, tuple(values))
    known = named(key)
    return Entry(known[0], FREE_RANK + known[1], tuple(values)) if known else None


def is_of(key: str, name: str) -> bool:
    """Whether a field of this free name gives values to the common field."""
    entry = free_entry(key, ())
    return entry is not None and entry.name == name
