"""After a judgement only the tracks that it can concern are grouped again; the groups are those of all tracks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dedup.correlation.correlate import correlate
from dedup.groups import groups as grouped
from dedup.groups.groups import Family, Group, grouping, groups_of, uncertain
from dedup.groups.judgements import forget, record
from dedup.groups.keep import rules_of
from dedup.groups.losses import LOST_BY_VERDICT
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan.review import review_of
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, PlanSettings
from dedup.store.store import Store
from tests.stores import add_audio, add_track, copied, open_store, recording

ALSO = frozenset(LOST_BY_VERDICT)
N_SOUNDS, N_JUDGEMENTS = 12, 25


def fill(store: Store, chance: random.Random) -> None:
    """Sounds each with copies, excerpts, worn ones that relate, and files with the same sound."""
    for number in range(N_SOUNDS):
        whole = recording(number + 1, 400)
        worn = [copied(whole, chance.choice((0.02, 0.1, 0.3, 0.33)), seed=each) for each in range(3)]
        for at, items in enumerate((whole, *worn, whole[40:220], copied(whole[150:], 0.05))):
            audio = add_audio(store, items, stream=bytes([number, at]) * 8)
            for copy in range(chance.choice((1, 1, 1, 3))):
                add_track(store, f"{chance.randrange(6)}/{number} {at} {copy}.mp3", audio)
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())


def told(groups: list[Group]) -> list[tuple[object, ...]]:
    return [(group.reference, group.members, group.beside) for group in groups]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
@pytest.mark.parametrize("companions", [(), ((b"/music/0", b"/music/1"), (b"/music/2", b"/music/3"))])
def test_judgements_regroup_as_if_all_were_grouped_anew(
    tmp_path: Path, seed: int, companions: tuple[tuple[bytes, bytes], ...]
) -> None:
    chance, keep = random.Random(seed), KeepSettings(companions=companions)
    n_changes = 0
    with open_store(tmp_path / "store") as store:
        fill(store, chance)
        matches = Matches(store, MatchSettings())
        rules = rules_of(store, matches, keep)
        before = told(groups_of(store, matches, keep, ALSO))
        pairs = list(matches.pairs())
        assert len(before) >= N_SOUNDS and pairs
        for number in range(N_JUDGEMENTS):
            pair = chance.choice(pairs)
            both = pair.a.content, pair.b.content
            if both[0] == both[1] or chance.random() < 0.2:
                forget(store, *both)
            else:
                record(store, *both, chance.random() < 0.4, pair.match.score)
            matches.renew_judgements(store)
            if number % 2:
                continue  # several judgements may come before anybody asks
            anew = Matches(store, MatchSettings())
            for also in (ALSO, frozenset()):
                assert told(grouping(matches, rules, keep).groups(also)) == told(
                    grouping(anew, rules, keep).groups(also)
                )
            assert uncertain(matches) == uncertain(anew)
            now = told(grouping(matches, rules, keep).groups(ALSO))
            n_changes += now != before
            before = now
    assert n_changes >= 3


def test_only_the_tracks_that_a_judgement_concerns_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    init = Family.__init__

    def counted(self: Family, *arguments: object) -> None:
        init(self, *arguments)  # type: ignore[arg-type]
        made.append(len(self.best_first))

    with open_store(tmp_path / "store") as store:
        fill(store, random.Random(1))
        matches = Matches(store, MatchSettings())
        review = review_of(store, matches, KeepSettings(), PlanSettings(), None, False, Silent())
        pairs = ((one, pair) for one in review.all_questions for pair in one.group.members)
        question, pair = next((one, pair) for one, pair in pairs if pair.a.content != pair.b.content)
        monkeypatch.setattr(grouped.Family, "__init__", counted)
        record(store, pair.a.content, pair.b.content, False, None)
        review.regroup(question, store)
        assert 0 < sum(made) < len(matches.tracks) / 4
        n_made = len(made)
        review.renew(store)
        assert len(made) == n_made, "nothing was judged"


@pytest.mark.long
def test_groups_that_further_verdicts_cannot_change_are_the_same_ones(tmp_path: Path) -> None:
    """Property: asked for in any order, with and without the further verdicts, the groups are the same."""
    for seed in range(3):
        with open_store(tmp_path / str(seed)) as store:
            fill(store, random.Random(seed))
            twins = add_audio(store, recording(900, 200))
            for name in ("twin/1", "twin/2"):
                add_track(store, name, twins)
            matches, keep = Matches(store, MatchSettings()), KeepSettings()
            rules = rules_of(store, matches, keep)
            plain = grouping(matches, rules, keep).groups()
            after = grouping(matches, rules, keep).groups(ALSO)
            matches.renew_tests(store)
            first = grouping(matches, rules, keep).groups(ALSO)
            assert told(first) == told(after)
            assert told(grouping(matches, rules, keep).groups()) == told(plain)
            assert {id(group) for group in plain} & {id(group) for group in after}
