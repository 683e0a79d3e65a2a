"""What of the groups is new since `full` last came to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.correlation.correlate import correlate
from dedup.groups.groups import make_groups
from dedup.groups.matches import Matches
from dedup.groups.news import News, end_news, expect_back, news
from dedup.observer import Silent
from dedup.runner import InlineRunner, Stop
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.store import Store
from dedup.upkeep.compact import compact
from tests import stores

WHOLE = stores.recording(1, 300)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A group of two and a track by itself, none of which was told yet."""
    with stores.open_store(tmp_path) as opened:
        stores.add_track(opened, "a.flac", WHOLE)
        stores.add_track(opened, "b.mp3", stores.copied(WHOLE, 0.05))
        stores.add_track(opened, "alone.mp3", stores.recording(2, 300))
        yield opened


def told(store: Store, finished: bool = True) -> News:
    """What a run finds."""
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    found = news(store, make_groups(Matches(store, MatchSettings())))
    if finished:
        end_news(store)
    return found


def audio_of(store: Store, name: str) -> int:
    track = store.catalog.tracks.get(f"/music/{name}".encode())
    assert track is not None
    assert track.audio is not None
    return track.audio


def test_all_is_new_to_the_first_run_and_nothing_to_the_second(store: Store) -> None:
    assert told(store) == News(n_copies=1, n_groups=1)
    assert told(store) == News(0, 0)


def test_a_run_that_was_stopped_has_told_nothing(store: Store) -> None:
    told(store, finished=False)
    assert told(store) == News(1, 1)


def test_a_new_copy_of_what_was_there(store: Store) -> None:
    told(store)
    stores.add_track(store, "c.ogg", stores.copied(WHOLE, 0.06, seed=2))
    stores.add_track(store, "new.mp3", stores.recording(3, 300))
    assert told(store) == News(1, 1)


def test_a_new_group(store: Store) -> None:
    told(store)
    for number, share in enumerate((0.0, 0.04, 0.05)):
        stores.add_track(store, f"{number}.mp3", stores.copied(stores.recording(4, 300), share, number))
    assert told(store) == News(2, 1)


def test_a_file_with_the_same_bytes_is_new_and_one_that_was_moved_is_not(store: Store) -> None:
    """Property: both are new rows of an audio that was known."""
    told(store)
    stores.add_track(store, "moved.mp3", audio_of(store, "b.mp3"))
    store.catalog.tracks.forget([b"/music/b.mp3"])
    assert told(store) == News(0, 0)
    stores.add_track(store, "copy of alone.mp3", audio_of(store, "alone.mp3"))
    assert told(store) == News(1, 1)


def test_moved_and_copied_in_one_night(store: Store) -> None:
    told(store)
    stores.add_track(store, "moved.mp3", audio_of(store, "alone.mp3"))
    stores.add_track(store, "copied.mp3", audio_of(store, "alone.mp3"))
    store.catalog.tracks.forget([b"/music/alone.mp3"])
    assert told(store) == News(1, 1)


def test_what_comes_after_dropped_rows_is_new(store: Store) -> None:
    """Property: SQLite by itself gives the ids of dropped last rows again, as after a repair."""
    told(store)
    with store.catalog.transaction() as connection:
        for query in ("DELETE FROM track", "DELETE FROM audio"):
            connection.execute(query)
    stores.add_track(store, "a.flac", WHOLE)
    stores.add_track(store, "b.mp3", stores.copied(WHOLE, 0.05))
    assert told(store) == News(1, 1)


@pytest.mark.parametrize("same_bytes", [False, True])
def test_what_took_the_place_of_the_newest_before_anybody_looked_is_new(store: Store, same_bytes: bool) -> None:
    """Property: no id is given again that was told, whichever commands dropped and added rows since."""
    told(store)
    store.catalog.tracks.forget([b"/music/alone.mp3"])
    store.seal_tail()
    assert compact(store, Silent(), Stop()).dropped == 1
    stores.add_track(store, "c.ogg", audio_of(store, "a.flac") if same_bytes else stores.copied(WHOLE, 0.06, seed=2))
    assert told(store) == News(1, 1)
    assert told(store) == News(0, 0)


def test_a_renamed_file_with_a_twin_is_no_news(store: Store) -> None:
    """Property: a scan gives a moved file the row of its old path, so that a file that is the second of its audio is
    not new by its id."""
    stores.add_track(store, "twin.mp3", audio_of(store, "a.flac"))
    told(store)
    twin = store.catalog.tracks.get(b"/music/twin.mp3")
    assert twin is not None
    store.catalog.tracks.put(replace(twin, path=b"/music/renamed.mp3"), moved_from=twin.path)
    assert store.catalog.tracks.get(twin.path) is None
    assert told(store) == News(0, 0)


def test_what_an_undo_puts_back_is_no_news(store: Store) -> None:
    """Property: the row has its old id, unless that is another's; what must be read again is named."""
    stores.add_track(store, "twin.mp3", audio_of(store, "a.flac"))
    told(store)
    twin = store.catalog.tracks.get(b"/music/twin.mp3")
    assert twin is not None
    store.catalog.tracks.forget([twin.path])
    assert told(store) == News(0, 0)
    store.catalog.tracks.put_back(twin)
    assert store.catalog.tracks.get(twin.path) == twin
    assert told(store) == News(0, 0)
    store.catalog.tracks.forget([twin.path])
    expect_back(store, twin.path)
    stores.add_track(store, "twin.mp3", stores.copied(WHOLE, 0.06, seed=2))
    assert told(store) == News(0, 0)
    stores.add_track(store, "another.mp3", stores.copied(WHOLE, 0.06, seed=3))
    assert told(store) == News(1, 1), "once it is told, nothing is expected back"


def test_a_retagged_file_whose_packets_cannot_be_told_is_no_news(store: Store) -> None:
    told(store)
    stores.add_track(store, "b.mp3", stores.copied(WHOLE, 0.05))
    assert told(store) == News(0, 0)
    stores.add_track(store, "b.mp3", stores.copied(WHOLE, 0.06, seed=4))
    assert told(store) == News(1, 1), "other sound at the same path is new"
