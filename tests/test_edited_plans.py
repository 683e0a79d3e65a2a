"""A plan can only be stricter than the store: what was changed by hand loosens no threshold and lets nothing go that
only its file holds, unless the person who applies it says so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.cleanup.allowed import Allowed
from dedup.cleanup.apply import Applied, apply_plan, check_plan, resume_plan
from dedup.correlation.correlate import correlate
from dedup.errors import UsageError
from dedup.groups.losses import Loss
from dedup.observer import Silent
from dedup.plan.document import from_bytes, to_bytes
from dedup.plan.nouns import Plan, PlannedSidecar
from dedup.runner import InlineRunner, Stop
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, PlanSettings
from dedup.store.nulltests import Difference, NullTest, Span
from dedup.store.store import Store
from tests.cleanups import group, make_files, make_store, opened, plan_all, plan_of, run, tree

RELATED = {"a.flac": 1, "loose.flac": 1}
"""Two files of which the second agrees with the first, but less than a copy does."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_files(tmp_path / "music", {"a.flac": 1, "copy.flac": 2, "loose.flac": 3})
    return tmp_path / "music"


def known(root: Path, recordings: dict[str, int], differing: dict[str, float] | None = None) -> None:
    make_store(root.parent / "store", root, recordings, differing or {})
    with opened(root) as store:
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())


def edited(plan: Plan, change: Callable[[Any], object]) -> Plan:
    """The plan after somebody changed its file."""
    document = json.loads(to_bytes(plan))
    change(document)
    return from_bytes(json.dumps(document).encode(), "plan.json")


def applied(store: Store, plan: Plan, allowed: Allowed = Allowed(), **more: Any) -> Applied:  # noqa: B008
    return apply_plan(
        store=store,
        plan=plan,
        observer=Silent(),
        stop=Stop(),
        may_delete=more.get("may_delete", lambda *_: True),
        allowed=allowed,
    )


# ---- thresholds ----


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"classic": 0.5}, "classic is 0.5, not off"),
        ({"min_score": 0.1}, "min_score is 0.1, not 0.45"),
        ({"min_prominence": 0.0}, "min_prominence is 0, not 0.05"),
        ({"max_false": 1e9, "min_score": 0.0}, "max_false is 1e+09, not 0.01; min_score is 0, not 0.45"),
    ],
)
def test_looser_thresholds_are_refused_with_their_values(root: Path, values: dict[str, float], told: str) -> None:
    known(root, RELATED, {"loose.flac": 0.36})
    before = tree(root)
    with opened(root) as store:
        entries = plan_of(group(store, root, "a.flac", {"loose.flac": "delete"}))
        plan = edited(replace(plan_all(store), groups=entries.groups), lambda plan: plan["match"].update(values))
        for attempt in (applied, dry_run):
            with pytest.raises(UsageError, match="looser") as caught:
                attempt(store, plan)
            assert told in str(caught.value)
    assert tree(root) == before


def dry_run(store: Store, plan: Plan) -> Applied:
    return check_plan(store=store, plan=plan, observer=Silent(), stop=Stop())


def test_stricter_thresholds_count(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1}, {"copy.flac": 0.1})
    with opened(root) as store:
        plan = edited(plan_all(store), lambda plan: plan["match"].update(min_score=0.99))
        (refusal,) = applied(store, plan).refused
        assert "not known to be a copy" in refusal.reason


def test_the_thresholds_of_the_settings_and_those_of_a_plan_that_is_the_stores_own_count(root: Path) -> None:
    known(root, RELATED, {"loose.flac": 0.36})
    loose = MatchSettings(classic=0.5)
    with opened(root) as store:
        entry = plan_of(group(store, root, "a.flac", ["loose.flac"]), match=loose)
        assert dry_run(store, replace(plan_all(store), groups=entry.groups)).refused, "no copy by the default ones"
        with pytest.raises(UsageError, match="looser"):
            dry_run(store, entry)
        done = applied(store, entry, Allowed(match=loose))
        assert (done.n_files, done.n_edited) == (1, 1)


def test_a_clean_up_that_goes_on_is_held_to_the_same(root: Path) -> None:
    known(root, RELATED, {"loose.flac": 0.36})
    loose = MatchSettings(classic=0.5)
    stop = Stop()
    stop.request("a test")
    with opened(root) as store:
        entry = plan_of(group(store, root, "a.flac", ["loose.flac"]), match=loose)
        apply_plan(store=store, plan=entry, observer=Silent(), stop=stop, allowed=Allowed(match=loose))
        how: dict[str, Any] = {"observer": Silent(), "stop": Stop()}
        with pytest.raises(UsageError, match="looser"):
            resume_plan(store=store, **how)
        assert resume_plan(store=store, **how, allowed=Allowed(match=loose)).n_files == 1


# ---- what would be lost ----


def longer(store: Store, root: Path) -> None:
    """Lets the null test of the two files say that only the second has something at its end."""
    contents = [file.content for file in group(store, root, "a.flac", ["copy.flac"]).files]
    test = NullTest(residual_db=-50.0, only_b=(Span(100.0, 130.0),), length_a_s=100.0, length_b_s=130.0)
    with store.catalog.transaction():
        store.catalog.nulltests.put([(contents[0], contents[1], test)])


def longer_by_both(store: Store, root: Path) -> None:
    """Lets the null test of the two files say that each has something that the other lacks."""
    contents = [file.content for file in group(store, root, "a.flac", ["copy.flac"]).files]
    apart = NullTest(residual_db=-9.0, differences=(Difference(10.0, 12.0, "both"),))
    with store.catalog.transaction():
        store.catalog.nulltests.put([(contents[0], contents[1], apart)])


def letting_go(store: Store, root: Path) -> Plan:
    """A plan by hand that lets go what only the second has."""
    one = group(store, root, "a.flac", ["copy.flac"])
    files = (one.files[0], replace(one.files[1], lost=(Loss("span", "30 s at the end"),)))
    return plan_of(replace(one, files=files))


def test_a_change_by_hand_lets_nothing_go(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    before = tree(root)
    with opened(root) as store:
        longer(store, root)
        for plan in (letting_go(store, root), from_bytes(to_bytes(letting_go(store, root)), "plan")):
            (refusal,) = applied(store, plan).refused
            assert "not as `reprise plan` wrote it: 30 s at the end" in refusal.reason
    assert tree(root) == before


def test_the_word_of_whoever_applies_it_counts(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    with opened(root) as store:
        longer(store, root)
        assert applied(store, letting_go(store, root), Allowed(let_go=("mix",))).refused
        assert applied(store, letting_go(store, root), Allowed(let_go=("span",))).n_files == 1


def test_the_word_that_a_person_gave_when_the_plan_was_made_counts(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    with opened(root) as store:
        longer_by_both(store, root)
        plan = plan_all(store, settings=PlanSettings(let_go=("mix",)))
        assert [file.may_be_lost for file in plan.groups[0].changed] == [{"mix"}]
        done = applied(store, from_bytes(to_bytes(plan), "plan"))
        assert (done.n_files, done.n_edited, done.refused) == (1, 0, ())


def test_what_nobody_has_listened_to_stays(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    with opened(root) as store:
        store.catalog.connection.execute("DELETE FROM nulltest")
        (refusal,) = applied(store, plan_of(group(store, root, "a.flac", ["copy.flac"]))).refused
        assert "nobody has listened to the two" in refusal.reason


def test_a_side_car_goes_along_only_by_the_stores_word(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    (root / "copy.lrc").write_text("[00:01.00] words that no other file has\n")
    before = tree(root)
    along = PlannedSidecar(*planned_sidecar(root / "copy.lrc"))
    with opened(root) as store:
        one = group(store, root, "a.flac", {"copy.flac": "delete"})
        for lost in ((), (Loss("sidecars", "copy.lrc"),)):
            for sidecars in ((along,), ()):
                files = (one.files[0], replace(one.files[1], lost=lost, sidecars=sidecars))
                (refusal,) = applied(store, plan_of(replace(one, files=files))).refused
                assert refusal.reason.startswith("copy.lrc")
        assert tree(root) == before
        files = (one.files[0], replace(one.files[1], lost=(Loss("sidecars", "copy.lrc"),), sidecars=(along,)))
        assert applied(store, plan_of(replace(one, files=files)), Allowed(let_go=("sidecars",))).refused == ()
    assert not (root / "copy.lrc").exists()


def planned_sidecar(path: Path) -> tuple[bytes, Any, int, int]:
    return os.fsencode(path), "with", path.stat().st_size, path.stat().st_mtime_ns


def test_what_is_kept_beside_another_on_purpose_stays(root: Path) -> None:
    (root / "hires").mkdir()
    (root / "copy.flac").rename(root / "hires" / "copy.flac")
    known(root, {"a.flac": 1, "hires/copy.flac": 1})
    apart = KeepSettings(companions=((os.fsencode(root / "hires"), os.fsencode(root)),))
    with opened(root) as store:
        plan = plan_of(group(store, root, "a.flac", ["hires/copy.flac"]))
        (refusal,) = applied(store, plan, Allowed(keep=apart)).refused
        assert "on purpose" in refusal.reason


# ---- old plans ----


def test_an_entry_of_an_older_plan_counts_as_edited(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    with opened(root) as store:
        longer_by_both(store, root)
        older = replace(plan_all(store, settings=PlanSettings(let_go=("mix",))))
        newer = plan_all(store)
        assert not any(one.changed for one in newer.groups)
        mixed = from_bytes(to_bytes(replace(newer, groups=older.groups, made="2020-01-01T00:00:00Z")), "plan")
        done = applied(store, mixed)
        assert (done.n_files, done.n_edited, len(done.refused)) == (0, 1, 1)


def test_a_clean_up_goes_on_with_what_the_store_planned(root: Path) -> None:
    """The tags were carried over before a stop came: what is left of the entry is still the store's own."""
    tag(root / "a.flac", title="Song", artist="Some")
    tag(root / "copy.flac", genre="Folk")
    known(root, {"a.flac": 1, "copy.flac": 1})
    with opened(root) as store:
        longer_by_both(store, root)
        plan = from_bytes(to_bytes(plan_all(store, settings=PlanSettings(let_go=("mix",)))), "plan")
        assert plan.groups[0].merge is not None and plan.groups[0].merge.fields
        stop = Stop()

        def stopped(*_: object) -> None:
            stop.request("a test")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dedup.cleanup.records.renew", stopped)
            apply_plan(store=store, plan=plan, observer=Silent(), stop=stop)
        done = resume_plan(store=store, observer=Silent(), stop=Stop())
        assert (done.n_files, done.n_edited, done.refused) == (1, 0, ())


# ---- albums ----


def test_a_complete_album_stays_so_whoever_edited_the_plan(tmp_path: Path) -> None:
    names = {f"album/{n}.flac": n for n in (1, 2, 3)} | {"other/2.flac": 2}
    make_files(tmp_path / "music", names)
    root = tmp_path / "music"
    for n in (1, 2, 3):
        tag(root / f"album/{n}.flac", album="Whole", artist="Some", tracknumber=str(n), tracktotal="3")
    known(root, names)
    with opened(root) as store:
        plan = plan_of(group(store, root, "other/2.flac", ["album/2.flac"]))
        (refusal,) = applied(store, plan).refused
        assert refusal.reason.startswith("track 2 of Whole, which is complete with it")
        assert applied(store, plan, Allowed(break_albums=True)).n_files == 1


def tag(path: Path, **fields: str) -> None:
    from mutagen.flac import FLAC

    tags = FLAC(path)
    tags.update(fields)
    tags.save()


# ---- what a person is told ----


def test_whoever_is_asked_about_deletions_hears_of_changes_by_hand(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    heard: list[tuple[int, int]] = []

    def never(*numbers: int) -> bool:
        heard.append((numbers[0], numbers[1]))
        return False

    with opened(root) as store:
        own = from_bytes(to_bytes(plan_all(store, settings=PlanSettings(action="delete"))), "plan")
        changed = edited(plan_all(store), lambda plan: plan["groups"][0]["files"][1].update(action="delete"))
        for plan in (own, changed):
            with pytest.raises(UsageError, match="deleted for good"):
                applied(store, plan, may_delete=never)
    assert heard == [(1, 0), (1, 1)]


def test_apply_says_how_many_entries_were_changed(root: Path) -> None:
    known(root, {"a.flac": 1, "copy.flac": 1})
    path = root.parent / "plan.json"
    assert run(root, "plan", "-o", path).exit_code == 0
    document = json.loads(path.read_text())
    document["groups"][0]["files"][1]["action"] = "delete"
    path.write_text(json.dumps(document))
    asked = run(root, "apply", path, typed="n\n")
    assert asked.exit_code == 2
    assert "Delete 1 file for good? 1 entry is not as `reprise plan` wrote it." in asked.output
    done = run(root, "apply", path, "--yes")
    assert done.exit_code == 0
    assert "1 entry is not as `reprise plan` wrote it\n" in done.output
    assert "reprise undo" not in done.output, "nothing can be taken back"


def test_apply_takes_the_same_thresholds_as_plan(root: Path) -> None:
    known(root, RELATED, {"loose.flac": 0.36})
    path = root.parent / "plan.json"
    with opened(root) as store:
        path.write_bytes(
            to_bytes(plan_of(group(store, root, "a.flac", ["loose.flac"]), match=MatchSettings(classic=0.5)))
        )
    refused = run(root, "apply", path)
    assert refused.exit_code == 2
    assert "wrote it: classic is 0.5, not off" in refused.output
    assert run(root, "apply", path, "--classic", "0.5").exit_code == 0
