"""The nouns of the gate: what it answers about a file, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from dedup.groups.keep import Decision as Preferred
    from dedup.groups.losses import Loss
    from dedup.groups.matches import ListedTrack, TrackPair

Answer = Literal["import", "duplicate", "better", "other version", "unusable", "known"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
"""import: the library does not have the recording; duplicate: it has, in a file that holds all that this one holds and
is no worse; better: it has, and this one is better by the keep rules, or holds lyrics, chapters or the like that the
library's copy lacks; other version: it has something that is related, but not this; unusable: the file cannot be
compared; known: the file itself is in the library."""

Deed = Literal["import", "ask", "reject", "nothing"]
DEEDS: tuple[Deed, ...] = get_args(Deed)
"""What becomes of a file, by its answer and the caller's policy. ask: a person decides; reject: the library does not
need it; nothing: it is in the library already, and stays where it is."""


@dataclass(frozen=True)
class Decision:
    """What the gate says about a file."""

    path: bytes
    answer: Answer
    why: str
    """One sentence, without a full stop."""
    copies: tuple[TrackPair, ...] = ()
    """Copies of it in the library, best first by the keep rules, each as a pair of the file and the copy."""
    others: tuple[TrackPair, ...] = ()
    """What else it is related to, most alike first."""
    rule: Preferred | None = None
    """The keep rule by which the better of the file and the best copy is better; None without a copy, or if nothing
    that is in the files tells them apart."""
    losses: tuple[Loss, ...] = ()
    """What it holds that the best copy lacks; empty for a duplicate."""
    lacks: tuple[Loss, ...] = ()
    """What the best copy holds that it lacks."""
    deed: Deed = "ask"
    """What becomes of it."""
    track: ListedTrack | None = None
    """The file as it was read; None if it could not be."""
    seconds: float = field(default=0.0, compare=False)
    """Time that it took."""
