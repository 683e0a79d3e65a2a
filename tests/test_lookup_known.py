"""What is known of files without asking anybody."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from dedup.errors import InputError
from dedup.lookup.decide import Identified
from dedup.lookup.known import known
from dedup.store.store import Store
from tests.looking_up import Clock, run
from tests.lookup_service import Services, mbid
from tests.made_albums import add_file, make_library, make_pieces, publish, sound
from tests.stores import open_store


def all_known(store: Store, *paths: bytes) -> list[Identified]:
    return list(chain.from_iterable(known(store, paths)))


def n_requests(services: Services) -> int:
    return sum(map(len, services.times.values()))


def test_what_was_found_is_known_without_asking(tmp_path: Path, services: Services, clock: Clock) -> None:
    with open_store(tmp_path / "store", block_size=64) as store:
        with store.catalog.gathered():
            make_library(store, services, make_pieces(5, 10))
        found = run(store, services, clock).files
        n = n_requests(services)
        clock.time += 400 * 86400.0
        assert all_known(store) == found
        below = b"/music/album 02"
        assert all_known(store, below) == [each for each in found if each.file.path.startswith(below + b"/")]
        with pytest.raises(InputError, match="no file of the library is there"):
            all_known(store, b"/elsewhere")
        assert n_requests(services) == n


def test_what_was_not_asked_stays_so(tmp_path: Path, services: Services, clock: Clock) -> None:
    pieces = make_pieces(1, 6)
    publish(services, pieces)
    with open_store(tmp_path / "store") as store:
        for piece in pieces:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"here/{piece.number:02}.flac")
        assert {(each.verdict, each.why) for each in all_known(store)} == {("unasked", "not asked yet")}
        run(store, services, clock, limit=3)
        assert {each.verdict for each in all_known(store)} == {"unasked"}
        run(store, services, clock)
        assert {each.verdict for each in all_known(store)} == {"identified"}
        store.catalog.lookups.drop_row((mbid("later", 0), "release"))
        why = "MusicBrainz was not asked yet about its releases"
        assert {(each.verdict, each.why) for each in all_known(store)} == {("unasked", why)}, "which one is not clear"


def test_what_another_release_of_the_program_kept_counts_as_never_said(
    tmp_path: Path, services: Services, clock: Clock
) -> None:
    pieces = make_pieces(1, 4)
    publish(services, pieces)
    with open_store(tmp_path / "store") as store:
        for piece in pieces:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"here/{piece.number:02}.flac")
        found = run(store, services, clock).files
        digest = found[0].file.subject
        rows = [(mbid("release", 0), {"title": "x"}), (mbid("later", 0), {"tracks": 5})]
        with store.catalog.transaction():
            store.catalog.lookups.put("release", "2026-03-01T02:30:00Z", rows)
        why = "MusicBrainz was not asked yet about its releases"
        assert {each.why for each in all_known(store)} == {why}
        assert [each.verdict for each in run(store, services, clock).files] == ["identified"] * 4
        with store.catalog.transaction():
            store.catalog.lookups.put("acoustid", "2036-03-01T02:30:00Z", [(digest, {"sounds": [{"id": 5}]})])
        assert {each.verdict for each in all_known(store)} == {"unasked"}
        clock.time += 60
        assert [each.verdict for each in run(store, services, clock, anew=True).files] == ["identified"] * 4
