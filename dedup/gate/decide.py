"""What the gate answers, from what a file is to the tracks of the library. Pure, except that `decide` asks somebody to
listen to two files where only that can tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dedup.correlation.scoring import BESIDE, MERGING
from dedup.files.paths import printable
from dedup.gate.nouns import Answer, Decision, Deed
from dedup.groups.keep import KeepRules, keep_rules, rule_names
from dedup.groups.losses import clock, losses, needs_listening, null_test_words, pitch_words, speed_words
from dedup.settings import GateSettings, KeepSettings, LossKind

if TYPE_CHECKING:
    from dedup.groups.companions import Intended
    from dedup.groups.losses import Loss
    from dedup.groups.matches import ListedTrack, TrackPair

OF_PLACE = frozenset(
    {"album", "folder", "imported", "loved", "named", "newest", "oldest", "prefer", "present", "protected"}
)
"""Keep rules that say nothing about what is in a file, or nothing that holds of one that is still on its way in: its
folder, its name and its time will be others once it is imported, and nobody has heard it."""

OF_SOUND: frozenset[LossKind] = frozenset(
    {"span", "mix", "speed", "channels", "picture", "tracks", "subtitles", "attachments", "untested"}
)
"""Losses with which a file is no copy but another version. The others hang off it, as lyrics do, and make it better."""

MOST_HEARD = 3
"""Copies to which somebody listens, best first, until one holds all that the file holds."""

Listen = Callable[["TrackPair"], "TrackPair"]


class Policy(NamedTuple):
    """By what the gate decides."""

    keep: KeepSettings = KeepSettings()
    let_go: Collection[LossKind] = ()
    """Kinds of loss that do not count."""
    varispeed: bool = True
    """Whether other speeds are tried, if the store's settings ask for them."""
    gate: GateSettings = GateSettings()


def deed_of(answer: Answer, settings: GateSettings) -> Deed:
    """What becomes of a file that got this answer."""
    deeds: dict[Answer, Deed] = {
        "import": "import",
        "duplicate": "reject",
        "better": settings.on_better,
        "other version": settings.on_other,
        "unusable": "ask",
        "known": "nothing",
    }
    return deeds[answer]


def rules_for(settings: KeepSettings) -> KeepRules:
    """The keep rules that tell a file on its way in from one of the library."""
    names = tuple(name for name in rule_names(settings.rules) if name not in OF_PLACE)
    rules = keep_rules(KeepSettings(rules=names or ("lossless",)))
    return KeepRules(tuple(rule for rule in rules.rules if rule.name not in OF_PLACE))


def decide(
    track: ListedTrack, pairs: Sequence[TrackPair], policy: Policy, intended: Intended, listen: Listen
) -> Decision:
    """The answer about a file that has to do with these tracks, each in a pair with it. `listen` gives a pair after its
    null test."""
    said = _decided(track, pairs, policy, intended, listen)
    return replace(said, deed=deed_of(said.answer, policy.gate))


def _decided(
    track: ListedTrack, pairs: Sequence[TrackPair], policy: Policy, intended: Intended, listen: Listen
) -> Decision:
    same_file = [pair for pair in pairs if pair.verdict == "same file"]
    if same_file:
        name = printable(same_file[0].b.path)
        return Decision(track.path, "known", f"it is {name} of the library under another name", track=track)
    meant = [pair for pair in pairs if intended.may_merge(pair.a, pair.b)]
    rules = rules_for(policy.keep)
    heard, copies = _heard(meant, rules, policy, listen)
    others = sorted((pair for pair in heard if pair.verdict not in MERGING), key=_by_likeness)
    if copies:
        return _about_copies(track, copies, others, rules, policy)
    if others:
        return Decision(track.path, "other version", _relation_words(others[0]), others=tuple(others), track=track)
    apart = [pair for pair in pairs if pair.verdict in MERGING]
    if apart:
        why = f"the library has it as {printable(apart[0].b.path)}, which your settings keep beside it"
        return Decision(track.path, "import", why, track=track)
    return Decision(track.path, "import", "nothing in the library agrees with it", track=track)


def _heard(
    pairs: Sequence[TrackPair], rules: KeepRules, policy: Policy, listen: Listen
) -> tuple[list[TrackPair], list[TrackPair]]:
    """All pairs, after listening to as many as needed, and those of them that are copies, best first."""
    best = {each.path: at for at, each in enumerate(rules.best_first([pair.b for pair in pairs]) if pairs else ())}
    order = sorted(pairs, key=lambda pair: best[pair.b.path])
    heard: list[TrackPair] = []
    n_heard, is_found = 0, False
    for pair in order:
        is_open = pair.verdict in MERGING and needs_listening(pair) and pair.test is None
        if is_open and not is_found and n_heard < MOST_HEARD:
            heard.append(listen(pair))
            n_heard += 1
        else:
            heard.append(pair)
        is_found = is_found or (heard[-1].verdict in MERGING and not _losses(heard[-1], policy))
    return heard, [pair for pair in heard if pair.verdict in MERGING]


def _about_copies(
    track: ListedTrack, copies: list[TrackPair], others: list[TrackPair], rules: KeepRules, policy: Policy
) -> Decision:
    """The answer where the library has copies: it is better than the best, a duplicate, or more than a copy."""
    best = copies[0]
    decided, lost = rules.decision(best.b, track), tuple(_losses(best, policy))
    rule = decided if decided.rule != "path" else None
    name = printable(best.b.path)

    def answer(said: Answer, why: str) -> Decision:
        lacks = tuple(loss for loss in losses(best.swapped()) if loss.kind != "untested")
        return Decision(track.path, said, why, tuple(copies), tuple(others), rule, lost, lacks, track=track)

    if (mine := rules.preference(track, best.b)) is not None and mine.rule != "path":
        rule = mine
        return answer("better", f"it is better than {name}: {mine.why}")
    holding = next((pair for pair in copies if not _losses(pair, policy)), None)
    if holding is not None:
        lost = ()
        return answer(
            "duplicate", _copy_words(holding) + (f", and better: {rule.why}" if rule and holding is best else "")
        )
    what = "; ".join(loss.what for loss in lost)
    if all(loss.kind not in OF_SOUND for loss in lost):
        return answer("better", f"it has what {name} lacks: {what}")
    if all(loss.kind == "untested" for loss in lost):
        return answer("other version", f"it agrees with {name} like a copy, but {what}")
    return answer("other version", f"it holds what {name} lacks: {what}")


def _losses(pair: TrackPair, policy: Policy) -> list[Loss]:
    """What the file holds that the library's lacks, as far as it counts."""
    return [loss for loss in losses(pair) if loss.kind not in policy.let_go]


def _by_likeness(pair: TrackPair) -> tuple[int, float, bytes]:
    return BESIDE.index(pair.verdict), -pair.match.evidence, pair.b.path


def _copy_words(pair: TrackPair) -> str:
    """How a copy is one."""
    name = printable(pair.b.path)
    if pair.judged:
        return f"you said that {name} is the same recording"
    words = {"identical file": "has the same bytes", "same audio": "has the same audio"}
    return f"{name} {words.get(pair.verdict, 'is the same recording')}"


def _relation_words(pair: TrackPair) -> str:
    """What a file is to one that it is no copy of."""
    name, match = printable(pair.b.path), pair.match
    if pair.verdict == "same recording, other speed":
        return f"it is {name}, {speed_words(match.rate, pair.change)}"
    if pair.verdict == "transposed":
        return f"it is {name}, {pitch_words(pair.change) if pair.change else 'at another pitch'}"
    if pair.verdict == "contained":
        a_from, a_to, b_from, b_to = match.place()
        if pair.a.n_items <= pair.b.n_items:
            return f"it is {clock(b_from)} to {clock(b_to)} of {name}"
        return f"its {clock(a_from)} to {clock(a_to)} is {name}"
    if pair.verdict == "another mix":
        return f"it is another mix of {name}" + (f": {null_test_words(pair.test)}" if pair.test else "")
    words = {"overlapping": "it overlaps with", "related": "it is related to"}
    return f"{words.get(pair.verdict, 'pictures were not compared, but it sounds like')} {name}"
