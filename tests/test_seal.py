"""A store knows its own plans: what was changed since, wherever it was, is not taken for the store's word."""

from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.groups.losses import Loss
from dedup.observer import Silent
from dedup.plan.document import from_bytes, to_bytes
from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup, PlannedSidecar
from dedup.plan.seal import Seals
from dedup.servers.asked import Asked
from dedup.settings import MatchSettings
from dedup.store.layout import Layout
from dedup.store.plan_key import is_damaged, plan_key
from dedup.tags.merge import Merge
from dedup.upkeep.check import check
from tests.stores import open_store

KEPT = PlannedFile(b"/m/a.flac", "keep", 20, 5, b"a" * 16, rule="lossless", why="flac, the other mp3")
COPY = PlannedFile(b"/m/b.mp3", "quarantine", 10, 6, b"b" * 16, verdict="same recording", score=0.9)
OTHER = PlannedFile(b"/m/c.mp3", "leave", 10, 6, b"c" * 16, verdict="same recording", lost=(Loss("span", "0:30"),))
PLAN = Plan(
    (
        PlannedGroup((KEPT, COPY, OTHER), Merge(KEPT.path, {"genre": ("Folk",)}, COPY.path)),
        PlannedGroup((replace(KEPT, path=b"/m/\xe4.flac"), replace(COPY, path=b"/m/e.mp3"))),
    )
)
SEALS = Seals(b"k" * 32)


def read_again(plan: Plan, change: Callable[[Any], object] = lambda _: None) -> Plan:
    document = json.loads(to_bytes(plan))
    change(document)
    return from_bytes(json.dumps(document).encode(), "plan")


def sound(plan: Plan, seals: Seals = SEALS) -> list[list[bool]]:
    return [[seals.is_sound(plan, group, file) for file in group.files] for group in plan.groups]


def test_a_plan_is_its_stores_own_however_it_is_written() -> None:
    assert sound(SEALS.sealed(PLAN)) == sound(read_again(SEALS.sealed(PLAN))) == [[True] * 3, [True] * 2]
    assert SEALS.is_header_sound(read_again(SEALS.sealed(PLAN)))
    assert sound(read_again(PLAN)) == [[False] * 3, [False] * 2], "never sealed"


def _to(value: Any, *place: Any) -> Callable[[Any], object]:
    def change(document: Any) -> None:
        *above, last = place
        for step in above:
            document = document[step]
        document[last] = value

    return change


FIRST = ("groups", 0, "files")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_to("delete", *FIRST, 1, "action"), [True, False, True]),
        (_to("quarantine", *FIRST, 2, "action"), [True, True, False]),
        (_to([{"kind": "mix", "what": ""}], *FIRST, 1, "lost"), [True, False, True]),
        (_to("/m/x.mp3", *FIRST, 1, "path"), [True, False, True]),
        (_to("c" * 32, *FIRST, 1, "content"), [True, False, True]),
        (_to("", *FIRST, 1, "seal"), [True, False, True]),
        (_to("/m/y.flac", *FIRST, 0, "path"), [False, False, False]),
        (_to("answered by you", "groups", 0, "note"), [False, False, False]),
        (_to(None, "groups", 0, "merge"), [False, False, False]),
        (_to(["Jazz"], "groups", 0, "merge", "fields", "genre"), [False, False, False]),
        (_to("mine", *FIRST, 1, "_comment"), [True, True, True]),
    ],
)
def test_a_change_is_seen_in_the_entries_that_it_concerns(
    change: Callable[[Any], object], expected: list[bool]
) -> None:
    assert sound(read_again(SEALS.sealed(PLAN), change)) == [expected, [True, True]]


def test_the_side_cars_are_sealed_with_their_file() -> None:
    along = replace(COPY, sidecars=(PlannedSidecar(b"/m/b.lrc", "with", 3, 4),))
    sealed = SEALS.sealed(Plan((PlannedGroup((KEPT, along)),)))
    assert sound(read_again(sealed, _to("/m/z.lrc", *FIRST, 1, "sidecars", 0, "path"))) == [[True, False]]


def test_other_thresholds_are_seen() -> None:
    loose = read_again(SEALS.sealed(PLAN), _to(0.5, "match", "classic"))
    assert not SEALS.is_header_sound(loose)
    assert SEALS.is_header_sound(read_again(SEALS.sealed(replace(PLAN, match=MatchSettings(classic=0.5)))))


def test_what_a_plan_says_as_a_whole_is_sealed_as_one() -> None:
    for change in (
        _to("/elsewhere", "to"),
        _to(True, "remove_empty_folders"),
        _to([{"path": "/x"}], "protect"),
        _to("album", "identity"),
        _to("2020-01-01T00:00:00Z", "made"),
        _to([{"name": "home", "kind": "", "url": "", "user": "", "folders": []}], "servers"),
    ):
        assert not SEALS.is_header_sound(read_again(SEALS.sealed(PLAN), change))


def test_the_servers_that_were_asked_are_sealed() -> None:
    asked = Asked("home", "subsonic", "https://music.example.org", "anna", (b"/m", b"/\xff"))
    sealed = SEALS.sealed(replace(PLAN, servers=(asked,)))
    again = read_again(sealed)
    assert again.servers == (asked,) and SEALS.is_header_sound(again)
    for change in (
        lambda document: document.pop("servers"),
        _to("bert", "servers", 0, "user"),
        _to("https://example.org", "servers", 0, "url"),
        _to([{"path": "/m"}], "servers", 0, "folders"),
    ):
        assert not SEALS.is_header_sound(read_again(sealed, change))


def test_an_entry_of_an_older_plan_is_none_of_this_one() -> None:
    older = SEALS.sealed(replace(PLAN, made="2026-01-01T00:00:00Z"))
    newer = SEALS.sealed(replace(PLAN, made="2026-01-02T00:00:00Z"))
    mixed = replace(newer, groups=(older.groups[0], newer.groups[1]))
    assert sound(mixed) == [[False] * 3, [True] * 2]


def test_another_store_knows_nothing_of_it() -> None:
    other = Seals(b"o" * 32)
    sealed = SEALS.sealed(PLAN)
    assert not any(map(any, sound(sealed, other)))
    assert not other.is_header_sound(sealed)


def test_without_a_key_nothing_is_sealed_and_nothing_sound() -> None:
    keyless = Seals(None)
    assert b"seal" not in to_bytes(keyless.sealed(PLAN))
    assert not any(map(any, sound(SEALS.sealed(PLAN), keyless)))
    assert not any(map(any, sound(keyless.sealed(PLAN), keyless)))


def test_going_on_with_a_plan_seals_only_what_the_store_had_sealed() -> None:
    edited = read_again(SEALS.sealed(PLAN), _to("quarantine", *FIRST, 2, "action"))
    opened = SEALS.opened(edited)
    moved = replace(opened, groups=(replace(opened.groups[0], note="new"), opened.groups[1]))
    assert sound(SEALS.sealed(moved)) == [[True, True, False], [True, True]]


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    key = plan_key(layout)
    assert key is not None
    assert len(key) == 32
    assert plan_key(layout) == key
    assert stat.S_IMODE(layout.plan_key.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [layout.plan_key.name]
    layout.plan_key.write_bytes(key[:7])  # damaged
    assert plan_key(layout) not in (None, key, key[:7])


def test_where_no_key_can_be_written_there_is_none(tmp_path: Path) -> None:
    assert plan_key(Layout(tmp_path / "gone")) is None


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7, limits[1]))
    try:
        found = plan_key(Layout(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found is None
    assert list(tmp_path.iterdir()) == []
    assert plan_key(Layout(tmp_path)) is not None


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_not_a_regular_file_is_no_key_and_stays(tmp_path: Path, kind: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"e" * 32)
    layout = Layout(tmp_path / "store")
    match kind:
        case "pipe":
            os.mkfifo(layout.plan_key)
        case "link":
            layout.plan_key.symlink_to(tmp_path / "elsewhere")
        case "folder":
            layout.plan_key.mkdir()
    mode = layout.plan_key.lstat().st_mode
    assert plan_key(layout) is None
    assert layout.plan_key.lstat().st_mode == mode
    assert [path.name for path in layout.folder.iterdir()] == ["plan-key"]


@pytest.mark.parametrize("damaged", [None, b"", b"short", b"l" * 33])
def test_of_several_makers_all_have_the_key_of_one(tmp_path: Path, damaged: bytes | None) -> None:
    layout = Layout(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(40):
            if damaged is None:
                layout.plan_key.unlink(missing_ok=True)
            else:
                layout.plan_key.write_bytes(damaged)
            found = set(threads.map(plan_key, [layout] * 8))
            assert found == {layout.plan_key.read_bytes()[:32]}
    assert [path.name for path in tmp_path.iterdir()] == ["plan-key"]


def test_where_hard_links_are_refused_a_key_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)  # as on FAT, exFAT and many network file systems
    assert plan_key(Layout(tmp_path)) == plan_key(Layout(tmp_path)) is not None


def test_a_writer_removes_what_a_kill_left_of_a_key(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        key = plan_key(store.layout)
    (tmp_path / "wip-plan-key-77").write_bytes(b"half")
    with open_store(tmp_path) as store:
        assert not list(tmp_path.glob("wip-*"))
        assert plan_key(store.layout) == key


def test_no_flipped_bit_makes_another_key(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert plan_key(layout) is not None
    whole = layout.plan_key.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        layout.plan_key.write_bytes(flipped)
        assert is_damaged(layout)
    layout.plan_key.write_bytes(whole)
    assert not is_damaged(layout)


def test_check_says_that_a_key_is_damaged(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        assert plan_key(store.layout) is not None
        store.layout.plan_key.write_bytes(b"k" * 48)
        (finding,) = check(store, Silent())
        assert (finding.kind, finding.name) == ("note", "plan-key")
