"""Unchanged, changed, absent, gone: what a look at the disk means for what is known."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dedup.files.paths import holds
from dedup.library.discover import Candidate
from dedup.library.reconcile import Reconciliation, reconcile
from dedup.store.tracks import KnownTrack

ROOT = b"/music"


def candidate(path: bytes, size: int = 100, mtime_ns: int = 1, volume: bytes = b"/") -> Candidate:
    return Candidate(path, ROOT, volume, size, mtime_ns, device=1, inode=1)


def known(path: bytes, size: int = 100, mtime_ns: int = 1, volume: bytes = b"/", **other: Any) -> KnownTrack:
    values: dict[str, Any] = {"state": "present", "audio": 1, "problem_kind": None, "problem": None, **other}
    return KnownTrack(path=path, volume=volume, size=size, mtime_ns=mtime_ns, **values)


def paths(result: Reconciliation) -> dict[str, list[bytes]]:
    return {
        name: [entry.path for entry in getattr(result, name)] for name in ("unchanged", "changed", "absent", "gone")
    }


def look(
    candidates: list[Candidate],
    tracks: list[KnownTrack],
    *,
    roots: tuple[bytes, ...] = (ROOT,),
    unlisted: tuple[bytes, ...] = (),
    mounted: tuple[bytes, ...] = (b"/",),
    retry_failed: bool = False,
) -> dict[str, list[bytes]]:
    return paths(reconcile(candidates, tracks, roots, unlisted, mounted.__contains__, retry_failed))


def only(**lists: list[bytes]) -> dict[str, list[bytes]]:
    return {"unchanged": [], "changed": [], "absent": [], "gone": []} | lists


def test_a_file_as_remembered_is_unchanged() -> None:
    assert look([candidate(b"/music/a")], [known(b"/music/a")]) == only(unchanged=[b"/music/a"])


def test_of_the_unchanged_those_that_an_older_version_read_are_outdated() -> None:
    tracks = [known(b"/music/a"), known(b"/music/b", is_outdated=True), known(b"/music/c", size=1, is_outdated=True)]
    candidates = [candidate(b"/music/a"), candidate(b"/music/b"), candidate(b"/music/c")]
    found = reconcile(candidates, [*tracks, known(b"/music/d", is_outdated=True)], (ROOT,), (), [b"/"].__contains__)
    assert found.outdated == [candidates[1]]
    assert paths(found) == only(unchanged=[b"/music/a", b"/music/b"], changed=[b"/music/c"], gone=[b"/music/d"])


def test_another_size_or_time_is_a_change_even_an_earlier_time() -> None:
    for size, mtime_ns in ((101, 1), (100, 2), (100, 0)):
        found = look([candidate(b"/music/a", size, mtime_ns)], [known(b"/music/a")])
        assert found == only(changed=[b"/music/a"])


def test_a_new_file_is_to_be_identified() -> None:
    assert look([candidate(b"/music/b")], []) == only(changed=[b"/music/b"])


def test_a_deleted_file_is_gone() -> None:
    assert look([], [known(b"/music/a")]) == only(gone=[b"/music/a"])


def test_a_track_of_a_volume_that_is_not_mounted_is_absent() -> None:
    tracks = [known(b"/music/usb/a", volume=b"/music/usb"), known(b"/music/b")]
    assert look([], tracks) == only(absent=[b"/music/usb/a"], gone=[b"/music/b"])
    assert look([], tracks, mounted=(b"/", b"/music/usb")) == only(gone=[b"/music/usb/a", b"/music/b"])


def test_the_system_is_asked_once_for_each_volume() -> None:
    asked: list[bytes] = []

    def is_mounted(volume: bytes) -> bool:
        asked.append(volume)
        return False

    tracks = [known(b"/music/%d" % i, volume=b"/v%d" % (i % 2)) for i in range(10)]
    reconcile([], tracks, [ROOT], [], is_mounted)
    assert asked == [b"/v0", b"/v1"]


def test_what_lies_below_a_folder_that_could_not_be_listed_is_absent() -> None:
    tracks = [known(b"/music/locked/deep/a"), known(b"/music/locked"), known(b"/music/locked too/a")]
    found = look([], tracks, unlisted=(b"/music/locked",))
    assert found == only(absent=[b"/music/locked/deep/a", b"/music/locked"], gone=[b"/music/locked too/a"])


def test_tracks_of_other_roots_are_not_touched() -> None:
    tracks = [known(b"/films/a"), known(b"/musical/a"), known(b"/music/a")]
    assert look([], tracks) == only(gone=[b"/music/a"])
    assert look([], tracks, roots=(b"/",)) == only(gone=[b"/films/a", b"/musical/a", b"/music/a"])
    assert look([], tracks, roots=(b"/music/a",)) == only(gone=[b"/music/a"])


def test_a_problem_is_remembered_unless_it_is_to_be_retried() -> None:
    failed = known(b"/music/bad", audio=None, problem_kind="failed", problem="garbage")
    skipped = known(b"/music/short", audio=None, problem_kind="skipped", problem="too short")
    sound = known(b"/music/a")
    candidates = [candidate(track.path) for track in (failed, skipped, sound)]
    everything = [b"/music/bad", b"/music/short", b"/music/a"]
    assert look(candidates, [failed, skipped, sound]) == only(unchanged=everything)
    retried = look(candidates, [failed, skipped, sound], retry_failed=True)
    assert retried == only(unchanged=[b"/music/a"], changed=[b"/music/bad", b"/music/short"])


names = st.sampled_from([b"/music/a", b"/music/b", b"/music/b/c", b"/music/usb/d", b"/music/bb", b"/films/e", b"/f"])
folders = st.sampled_from([b"/", b"/music", b"/music/b", b"/music/usb", b"/films"])
candidates_of = st.dictionaries(names, st.tuples(st.integers(1, 2), st.integers(1, 2)))
tracks_of = st.dictionaries(
    names, st.tuples(st.integers(1, 2), st.integers(1, 2), folders, st.sampled_from([None, "failed", "skipped"]))
)


@given(
    candidates_of,
    tracks_of,
    st.lists(folders, min_size=1, unique=True),
    st.lists(folders, unique=True),
    st.sets(folders),
    st.booleans(),
)
def test_every_file_and_every_track_has_one_place(
    found: dict[bytes, tuple[int, int]],
    remembered: dict[bytes, tuple[int, int, bytes, Any]],
    roots: list[bytes],
    unlisted: list[bytes],
    mounted: set[bytes],
    retry_failed: bool,
) -> None:
    candidates = [candidate(path, *what) for path, what in sorted(found.items())]
    tracks = [
        known(path, size, mtime, volume, problem_kind=kind) for path, (size, mtime, volume, kind) in remembered.items()
    ]
    result = reconcile(candidates, tracks, roots, unlisted, mounted.__contains__, retry_failed)
    lists = paths(result)

    assert sorted(lists["unchanged"] + lists["changed"]) == sorted(found)
    below = {path for path in remembered if any(holds(root, path) for root in roots)}
    lost = lists["absent"] + lists["gone"]
    assert sorted(lost) == sorted(below - set(found))
    for track in result.unchanged:
        assert found[track.path] == remembered[track.path][:2]
        assert not (retry_failed and track.problem_kind)
    for track in result.gone:
        assert track.volume in mounted
        assert not any(holds(folder, track.path) for folder in unlisted)
    for track in result.absent:
        assert track.volume not in mounted or any(holds(folder, track.path) for folder in unlisted)
