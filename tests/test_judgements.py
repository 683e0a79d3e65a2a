"""What a person said of two tracks: it goes by what they hold, the last word stands, and nothing else forgets it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.errors import InputError
from dedup.groups.judgements import Judgements, content, find, forget, history, paths_of_judged, record, score_of
from dedup.store.items import items_digest
from dedup.store.store import Store
from tests.stores import add_audio, add_track, copied, open_store, recording

A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))


@dataclass(frozen=True)
class Held:
    """As much of a `matches.ListedTrack` as a judgement looks at."""

    stream: bytes | None
    digest: bytes = bytes(16)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


def test_a_track_is_known_by_its_packets_and_else_by_its_fingerprint() -> None:
    assert content(A, B) == A
    assert content(None, B) == B


def test_what_was_said_is_found_whichever_comes_first(store: Store) -> None:
    record(store, B, A, True, 0.25)
    record(store, B, C, False, None)
    said = Judgements(store)
    for one, other, same in ((A, B, True), (B, C, False), (A, C, None), (A, A, None)):
        assert said.of(Held(one), Held(None, other)) is same
        assert said.of(Held(None, other), Held(one)) is same
    assert [(j.content_a, j.content_b, j.same, j.score) for j in sorted(history(store), key=lambda j: j.same)] == [
        (B, C, False, None),
        (A, B, True, 0.25),
    ]


def test_where_nobody_said_anything(store: Store) -> None:
    assert Judgements(store).of(Held(A), Held(B)) is None
    assert history(store) == []
    assert forget(store, A, B) is None


def test_the_last_word_stands_and_tells_the_one_before(store: Store) -> None:
    assert record(store, A, B, True, 0.3) is None
    before = record(store, B, A, False, 0.4)
    assert (before.same, before.score) == (True, 0.3)
    (now,) = history(store)
    assert (now.same, now.score) == (False, 0.4)
    assert now.judged.startswith("20")
    assert now.judged.endswith("Z")
    assert forget(store, B, A) == now
    assert history(store) == []


def test_one_audio_is_not_different_from_itself(store: Store) -> None:
    with pytest.raises(
        InputError, match=r"^x and y: both hold exactly the same audio, and only names and tags differ"
    ) as raised:
        record(store, A, A, False, 1.0, where="x and y")
    assert "\n" not in str(raised.value)
    assert history(store) == []
    record(store, A, A, True, 1.0)  # says no more than what is so
    assert Judgements(store).of(Held(A), Held(A)) is True


contents = st.sampled_from([A, B, C, A[:15] + b"\xff", b"\xff" * 16])


@given(st.lists(st.tuples(contents, contents, st.sampled_from([True, False, None])), max_size=12))
def test_a_store_says_what_a_dictionary_would(said: list[tuple[bytes, bytes, bool | None]]) -> None:
    """Property: the order of bytes in SQLite is that of Python."""
    with TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        model: dict[frozenset[bytes], bool] = {}
        for one, other, same in said:
            if same is None:
                forget(store, one, other)
                model.pop(frozenset((one, other)), None)
            elif same or one != other:
                record(store, one, other, same, None)
                model[frozenset((one, other))] = same
        assert {frozenset(pair): same for pair, same in Judgements(store).said.items()} == model


# ---- tracks come and go ----


def listed(store: Store, name: str) -> Held:
    """The track of that name, as `matches` reads it."""
    query = (
        "SELECT stream, digest FROM track JOIN audio ON audio.id = track.audio "
        "JOIN fingerprint ON fingerprint.id = audio.fingerprint WHERE path = ?"
    )
    return Held(*store.catalog.connection.execute(query, (f"/music/{name}".encode(),)).fetchone())


def test_a_judgement_outlives_new_tags_and_a_move(store: Store) -> None:
    """Property: another file with the same packets is judged alike, also when the one that was judged is gone."""
    add_track(store, "a.mp3", add_audio(store, recording(1, 100), stream=A))
    add_track(store, "b.mp3", add_audio(store, recording(2, 100), stream=B))
    record(store, find(store, b"/music/a.mp3").content, find(store, b"/music/b.mp3").content, False, 0.9)
    add_track(store, "retagged.mp3", add_audio(store, recording(1, 100), stream=A), size=2000)
    assert Judgements(store).of(listed(store, "retagged.mp3"), listed(store, "b.mp3")) is False
    with store.catalog.transaction():
        store.catalog.tracks.forget([b"/music/a.mp3", b"/music/retagged.mp3"])
    add_track(store, "elsewhere/moved.mp3", add_audio(store, recording(1, 100), stream=A))
    assert Judgements(store).of(listed(store, "b.mp3"), listed(store, "elsewhere/moved.mp3")) is False
    assert paths_of_judged(store) == {A: [b"/music/elsewhere/moved.mp3"], B: [b"/music/b.mp3"]}


def test_tracks_without_packets_are_known_by_their_fingerprint(store: Store) -> None:
    add_track(store, "a.mp3", recording(1, 100), state="imported")
    add_track(store, "b.mp3", recording(2, 100))
    one, other = find(store, b"/music/a.mp3"), find(store, b"/music/b.mp3")
    assert (one.content, other.content) == tuple(items_digest(recording(seed, 100)) for seed in (1, 2))
    record(store, one.content, other.content, True, None)
    add_track(store, "copy of b.mp3", recording(2, 100))
    assert Judgements(store).of(listed(store, "copy of b.mp3"), listed(store, "a.mp3")) is True


# ---- a file that is judged ----

IMPORTED = {"root": b"", "volume": b"", "size": 0, "mtime_ns": 0, "inode": 0, "device": 0}


def test_a_file_is_found_by_its_absolute_path_or_as_it_was_imported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "music").mkdir()
    monkeypatch.chdir(tmp_path / "music")
    add_track(store, "a.mp3", add_audio(store, recording(1, 100), stream=A))
    (track,) = store.catalog.tracks.all()
    for path, state in ((os.fsencode(tmp_path / "music" / "b.mp3"), "absent"), (b"c/d.mp3", "imported")):
        with store.catalog.transaction():
            file = {"root": os.fsencode(tmp_path)} if state == "absent" else IMPORTED
            store.catalog.tracks.put(replace(track, path=path, state=state, **file))
    assert [find(store, path).content for path in (b"/music/a.mp3", b"b.mp3", b"../music/b.mp3", b"c/d.mp3")] == [A] * 4
    with pytest.raises(InputError, match=r"e\.mp3: not in the store"):
        find(store, b"e.mp3")


def test_a_file_that_changed_or_has_no_audio_is_refused(store: Store, tmp_path: Path) -> None:
    add_track(store, "a.mp3", add_audio(store, recording(1, 100), stream=A))
    (track,) = store.catalog.tracks.all()
    changed, broken = tmp_path / "changed.mp3", tmp_path / "broken.mp3"
    for path in (changed, broken):
        path.write_bytes(b"other bytes")
    with store.catalog.transaction():
        track = replace(track, root=os.fsencode(tmp_path))
        store.catalog.tracks.put(replace(track, path=os.fsencode(changed)))
        failed = {"audio": None, "problem_kind": "failed", "problem": "not an audio file", "judged_by": ""}
        store.catalog.tracks.put(replace(track, path=os.fsencode(broken), **failed))
    with pytest.raises(InputError, match=r"changed\.mp3: has changed since it was scanned.*Scan the folder"):
        find(store, os.fsencode(changed))
    with pytest.raises(InputError, match=r"broken\.mp3: has no fingerprint \(failed: not an audio file\)"):
        find(store, os.fsencode(broken))


def test_the_score_is_that_of_a_comparison_now(store: Store) -> None:
    add_track(store, "a.mp3", recording(1, 200))
    add_track(store, "b.mp3", copied(recording(1, 200), 0.1))
    add_track(store, "short.mp3", recording(3, 20))
    a, b, short = (find(store, b"/music/" + name) for name in (b"a.mp3", b"b.mp3", b"short.mp3"))
    assert score_of(store, a, b) == score_of(store, b, a) > 0.5
    store.seal_tail()
    assert score_of(store, a, b) > 0.5
    assert score_of(store, a, short) is None  # fewer than 80 items cannot overlap enough
