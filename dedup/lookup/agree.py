"""Whether tags, file names and lengths agree with what a service says: pure functions."""

from __future__ import annotations

import difflib
import enum
import functools
import itertools
import re
import unicodedata

CLOSE_S, FAR_S = 3.0, 7.0
"""Seconds by which lengths of one recording may differ; and beyond which they are two recordings, for AcoustID too."""
SAME_RATIO, OTHER_RATIO = 0.85, 0.6
"""Likeness of two names from which they are one, and below which they are two (`difflib.SequenceMatcher.ratio`)."""
WORD_RATIO, LEAST_WORD = 0.75, 4
"""Likeness of two words from which they are one, and characters that these need."""


class Opinion(enum.IntEnum):
    """What one witness says."""

    AGAINST = -1
    NOTHING = 0
    FOR = 1


_GUEST = re.compile(r"[\s(\[]+(?:feat|ft|featuring)\b\.?.*", re.IGNORECASE)
_ASIDE = re.compile(r"[(\[][^)\]]*[)\]]|\s-\s.*$")
_VERSION = re.compile(
    r"\b(live|remix|mix|instrumental|acoustic|demo|karaoke|edit|unplugged|dub|cover|reprise|alternate|version)\b"
)
_NUMBERED = re.compile(r"(?:part|pt|no|vol|nr)?\s*(\d+|[ivx]+)$")
_GENERIC = re.compile(r"(?:audio ?)?(?:track|titel|piste|traccia|pista|title|unknown|untitled|file)?\s*\d*")
_SOMEBODY = ("", "unknown", "unknown artist", "various", "various artists", "va", "artist")


@functools.lru_cache(maxsize=1 << 16)
def normal(text: str) -> str:
    """The words of a text: lower case, without accents, punctuation and guests."""
    plain = unicodedata.normalize("NFKD", _GUEST.sub("", text)).casefold().replace("&", " and ")
    kept = "".join(char if char.isalnum() else " " for char in plain if not unicodedata.combining(char))
    return " ".join(word for word in kept.replace("'", "").split() if word not in ("the", "a", "and"))


@functools.lru_cache(maxsize=1 << 16)
def song_key(title: str, artist: str) -> tuple[str, str]:
    """What two recordings of one title by one artist have in common; versions differ."""
    return f"{bare(title)} {' '.join(sorted(_versions(title)))}".strip(), normal(artist)


def titles(tag: str, title: str) -> Opinion:
    """What the title in a file's tags says of a recording's."""
    if not tag or _GENERIC.fullmatch(normal(tag)):
        return Opinion.NOTHING
    ours, theirs = bare(tag), bare(title)
    if _likeness(ours, theirs) < OTHER_RATIO or _are_numbered_apart(ours, theirs):
        return Opinion.AGAINST
    is_same = _are_spellings(ours, theirs) and _versions(tag) == _versions(title)
    return Opinion.FOR if is_same else Opinion.NOTHING


def artists(tag: str, artist: str) -> Opinion:
    """What the artist in a file's tags says of a recording's."""
    ours, theirs = normal(tag), normal(artist)
    if ours in _SOMEBODY or theirs in _SOMEBODY:
        return Opinion.NOTHING
    if ours == theirs or _holds(ours, theirs) or _holds(theirs, ours):
        return Opinion.FOR
    likeness = _likeness(ours, theirs)
    if likeness >= SAME_RATIO:
        return Opinion.FOR
    return Opinion.NOTHING if likeness >= OTHER_RATIO or set(ours.split()) & set(theirs.split()) else Opinion.AGAINST


@functools.lru_cache(maxsize=1 << 16)
def albums(tag: str, title: str) -> bool:
    """Whether the album in a file's tags is that release."""
    ours, theirs = bare(tag), bare(title)
    return bool(ours) and _are_spellings(ours, theirs) and not _are_numbered_apart(ours, theirs)


def lengths(file_s: float, recording_s: float) -> Opinion:
    """What the length of a file says of a recording's, both in seconds, 0 if unknown."""
    if not file_s or not recording_s:
        return Opinion.NOTHING
    apart_s = abs(file_s - recording_s)
    return Opinion.FOR if apart_s <= CLOSE_S else Opinion.NOTHING if apart_s <= FAR_S else Opinion.AGAINST


@functools.lru_cache(maxsize=1 << 16)
def bare(title: str) -> str:
    """The words of a title without what stands in parentheses or behind a dash; of one that is nothing else, all."""
    return normal(_ASIDE.sub("", title)) or normal(title)


@functools.lru_cache(maxsize=1 << 16)
def _versions(title: str) -> frozenset[str]:
    """The kinds of versions that a title names beside the song."""
    return frozenset(_VERSION.findall(" ".join(_ASIDE.findall(title)).casefold()))


def _likeness(ours: str, theirs: str) -> float:
    return difflib.SequenceMatcher(None, ours, theirs, autojunk=False).ratio() if ours != theirs else 1.0


def _are_spellings(ours: str, theirs: str) -> bool:
    """Whether two texts are one, but for the spelling of words: short ones, such as keys and numbers, have to be
    equal."""
    if ours.replace(" ", "") == theirs.replace(" ", ""):
        return True
    pairs = list(itertools.zip_longest(ours.split(), theirs.split(), fillvalue=""))
    others = [(one, other) for one, other in pairs if one != other]
    return all(min(len(one), len(other)) >= LEAST_WORD for one, other in others) and all(
        _likeness(one, other) >= WORD_RATIO for one, other in others
    )


def _are_numbered_apart(ours: str, theirs: str) -> bool:
    """Whether two texts have numbers that tell them apart: "Part 1" and "Part 2"."""
    if _last_number(ours) != _last_number(theirs):
        return True
    of_ours, of_theirs = ({word for word in text.split() if word.isdigit()} for text in (ours, theirs))
    return not (of_ours <= of_theirs or of_theirs <= of_ours)


def _last_number(bare: str) -> str:
    found = _NUMBERED.search(bare)
    return found[1] if found and found.start() > 0 else ""


def _holds(longer: str, shorter: str) -> bool:
    """Whether a name stands in another as whole words."""
    return f" {shorter} " in f" {longer} "
