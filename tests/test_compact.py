"""Compaction: what is merged and dropped; that carried results are those of a fresh comparison to the last byte; that a
kill at any step leaves a sound store."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from dedup.correlation.correlate import Correlation, correlate, unfinished
from dedup.correlation.match import match_at, record
from dedup.errors import StoreDamagedError
from dedup.groups.groups import make_groups
from dedup.groups.judgements import find
from dedup.groups.judgements import record as judge
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.report.export import export_pairs, group_record
from dedup.runner import InlineRunner, Stop
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.items import Items
from dedup.store.nulltests import NullTest
from dedup.store.pairs import PAIR
from dedup.store.store import Store, open_for_reading, open_for_writing
from dedup.upkeep.carry import swapped
from dedup.upkeep.check import check
from dedup.upkeep.compact import KEPT_RUNS, Aging, Compaction, compact, compact_if_it_pays
from dedup.upkeep.merges import FANOUT, BlockMerge, Use, plan_merges, plan_worthwhile
from jobs import cli
from tests.killing import run_killed
from tests.stores import add_track, copied, open_store, recording

REPO = Path(__file__).resolve().parent.parent
BLOCK_SIZE = 8
CASCADE, EXACT = CompareSettings(varispeed=False), CompareSettings("exact", varispeed=False)


# ---- a library in many small blocks


def tracks() -> Iterator[tuple[str, Items]]:
    """Copies, an excerpt, copies of other speed, and what has to do with nothing."""
    for number in range(5):
        items = recording(number, 300 + 37 * number)
        yield f"{number} original", items
        yield f"{number} copy", copied(items, 0.08, number)
        yield f"{number} with silence", np.concatenate([recording(50 + number, 20 + number), copied(items, 0.1)])
    long = recording(10, 900)
    yield "long", long
    yield "excerpt", copied(long[200:500], 0.05)
    yield "faster", copied(long[np.rint(np.arange(0, 880, 1.02)).astype(int)], 0.05)
    yield "slower", copied(long[np.rint(np.arange(0, 880, 0.97)).astype(int)], 0.05)


FORGOTTEN = ("1 copy", "2 original", "excerpt", "4 with silence", "4 copy")


def fill(store: Store, per_block: int = 3, compare: CompareSettings = CASCADE) -> None:
    """As nights would: a few tracks, a block, a comparison."""
    of_night = list(tracks())
    order = np.random.default_rng(7).permutation(len(of_night))
    for start in range(0, len(order), per_block):
        for number in order[start : start + per_block]:
            add_track(store, *of_night[number])
        store.seal_tail()
    compared(store, compare)


def compared(store: Store, compare: CompareSettings = CASCADE) -> Correlation:
    return correlate(store, compare, InlineRunner(), Silent())


def forget(store: Store, *names: str) -> None:
    with store.catalog.transaction():
        store.catalog.tracks.forget(f"/music/{name}".encode() for name in names)


def answers(store: Store) -> bytes:
    """Pairs and groups, as exported."""
    matches = Matches(store, MatchSettings())
    records = [*export_pairs(matches), *map(group_record, make_groups(matches))]
    return json.dumps(records).encode()


def tile_rows(store: Store) -> list[Any]:
    return store.catalog.connection.execute("SELECT * FROM tile ORDER BY name").fetchall()


def damage(store: Store) -> list[str]:
    return [f"{found.kind} {found.text}" for found in check(store, Silent()) if found.kind != "note"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of seven small blocks, compared both ways, of which five tracks are forgotten."""
    folder = tmp_path_factory.mktemp("made") / "store"
    with open_store(folder, BLOCK_SIZE) as store:
        fill(store, compare=EXACT)
        compared(store)
        forget(store, *FORGOTTEN)
        compared(store)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def opened(folder: Path) -> Any:
    return open_for_writing(folder, "test")


def run_compact(store: Store, **how: Any) -> Compaction:
    return compact(store, Silent(), Stop(), **how)


# ---- the results


def test_carried_results_are_those_of_a_fresh_comparison_to_the_last_byte(folder: Path) -> None:
    with opened(folder) as store:
        before = answers(store)
        done = run_compact(store)
        assert (done.blocks_before, done.blocks_after, done.dropped) == (7, 2, len(FORGOTTEN))
        assert done.tiles_carried >= 2 * 3  # both ways of comparing; some blocks may have been merged twice
        carried = tile_rows(store)
        assert len(carried) == 2 * 3
        assert answers(store) == before
        assert damage(store) == []
        store.catalog.connection.execute("DELETE FROM tile")
        assert compared(store, EXACT).n_computed == compared(store).n_computed == 3
        assert tile_rows(store) == carried
    records = np.concatenate([np.frombuffer(pairs, PAIR) for *_, pairs, _ in carried])
    assert (records["lag"] != 0).any()
    assert {-1.0, 0.0, 1.0} <= set(np.sign(records["log_rate"]).tolist()) or (records["log_rate"] != 0).any()


@pytest.mark.parametrize("per_block", [1, 2, 5])
def test_so_they_are_however_the_blocks_were(per_block: int, tmp_path: Path) -> None:
    with open_store(tmp_path / "store", BLOCK_SIZE) as store:
        fill(store, per_block)
        run_compact(store)
        carried = tile_rows(store)
        store.catalog.connection.execute("DELETE FROM tile")
        compared(store)
        assert tile_rows(store) == carried


def test_nothing_is_computed_again_and_nothing_is_left_to_do(folder: Path) -> None:
    with opened(folder) as store:
        noise = store.catalog.meta.read()["noise"]
        run_compact(store)
        assert unfinished(store) is None  # complete, without another `correlate`
        summary = compared(store)
        assert (summary.n_computed, summary.n_reused) == (0, 3)
        assert store.catalog.meta.read()["noise"] == noise
        again = run_compact(store)
        assert (again.merged, again.dropped) == (0, 0)
        assert len(store.blocks.names()) == 2


def test_swapped_records_are_swapped_matches() -> None:
    rng = np.random.default_rng(3)
    pairs = np.zeros(40, PAIR)
    for name in ("row_a", "row_b", "overlap", "errors", "distinct", "from_a", "to_a", "from_b", "to_b"):
        pairs[name] = rng.integers(0, 1000, len(pairs))
    pairs["lag"] = rng.integers(-500, 500, len(pairs))
    pairs["log_rate"] = np.where(rng.random(len(pairs)) < 0.5, 0.0, rng.uniform(-0.05, 0.05, len(pairs)).round(9))
    pairs["n_steps"], pairs["steps"][:, :9] = 9, rng.integers(0, 256, (len(pairs), 9))
    expected = [
        record(int(pair["row_b"]), int(pair["row_a"]), match.swapped()).tobytes()
        for pair, match in ((pair, match_at(pairs.tobytes(), at * PAIR.itemsize)) for at, pair in enumerate(pairs))
    ]
    assert swapped(pairs).tobytes() == b"".join(expected)
    assert swapped(swapped(pairs)).tobytes() == pairs.tobytes()


def test_what_is_unfinished_loses_no_finished_tile(folder: Path) -> None:
    with opened(folder) as store:
        (name,) = store.catalog.connection.execute(
            "SELECT name FROM tile WHERE settings = ? ORDER BY name LIMIT 1", (CASCADE.digest(),)
        ).fetchone()
        store.catalog.connection.execute("DELETE FROM tile WHERE name = ?", (name,))
        store.catalog.connection.execute("DELETE FROM meta WHERE key = 'complete'")
        done = run_compact(store)
        assert done.left >= 2
        assert compared(store).n_computed == 1
        assert run_compact(store).left == 0
        assert compared(store).n_computed == 0


def test_blocks_that_were_not_compared_at_all_are_merged(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", BLOCK_SIZE) as store:
        for number in range(4):
            add_track(store, str(number), recording(number, 200))
            store.seal_tail()
        done = run_compact(store)
        assert (done.merged, done.left, done.blocks_after) == (4, 0, 1)


def test_a_rotten_result_is_never_carried_over(folder: Path) -> None:
    with opened(folder) as store:
        store.catalog.connection.execute(
            "UPDATE tile SET row_digest = zeroblob(16) WHERE settings = ?", (CASCADE.digest(),)
        )
        before = tile_rows(store)
        with pytest.raises(StoreDamagedError, match="digest"):
            run_compact(store)
        assert tile_rows(store) == before


@pytest.mark.parametrize("recorded", ["[]", '{"max_lag": -1}', '{"max_lag": 7}', None])
def test_results_whose_settings_are_damaged_are_told_and_not_lost(folder: Path, recorded: str | None) -> None:
    key = f"compare {EXACT.digest()}"
    with opened(folder) as store:
        store.catalog.connection.execute("DELETE FROM meta WHERE key = ?", (key,))
        if recorded is not None:
            store.catalog.meta.put_rows([(key, recorded)])
        before = tile_rows(store)
    result = invoke(folder, "compact")
    assert (result.exit_code, result.stderr.count("\n")) == (13, 1)
    assert f"settings {EXACT.digest()} of its results are not recorded" in result.stderr
    with opened(folder) as store:
        assert tile_rows(store) == before
    assert invoke(folder, "check", "--repair").exit_code == 0
    assert invoke(folder, "compact").exit_code == 0
    with opened(folder) as store:
        assert damage(store) == []
        assert {row[1] for row in tile_rows(store)} == {CASCADE.digest()}


@pytest.mark.parametrize(
    "known", [[], 7, {"runs": 1}, {"runs": "many", "fingerprints": []}, {"runs": 9, "fingerprints": [1]}]
)
def test_a_damaged_note_of_what_is_retired_begins_anew(known: object) -> None:
    assert Aging.of(known, {1, 2}) == Aging(0, frozenset({1, 2}))


def test_what_is_said_to_be_retired_goes_by_what_is() -> None:
    known = {"runs": 2, "fingerprints": [[-(10**18), 1], [3, 10**18]]}
    assert Aging.of(known, {1, 2, 4}) == Aging(3, frozenset({1, 4}))
    assert Aging.of(known, set()) == Aging(3, frozenset())


# ---- what is dropped


def test_what_a_person_and_a_null_test_said_outlives_the_audio(tmp_path: Path) -> None:
    items = recording(1, 300), recording(2, 300)
    with open_store(tmp_path / "store", BLOCK_SIZE) as store:
        for name, of_one in zip("ab", items, strict=True):
            add_track(store, name, of_one)
        compared(store)
        a, b = (find(store, f"/music/{name}".encode()) for name in "ab")
        judge(store, a.content, b.content, True, None)
        with store.catalog.transaction():
            store.catalog.nulltests.put([(a.content, b.content, NullTest(residual_db=-40.0))])
        tested = list(store.catalog.nulltests.texts())
        said = answers(store)
        forget(store, "a", "b")
        assert run_compact(store).dropped == 2
        assert store.catalog.blocks.rows() == {}
        assert store.catalog.connection.execute("SELECT COUNT(*) FROM audio").fetchone() == (0,)
        for name, of_one in zip("ab", items, strict=True):  # the files come back
            add_track(store, name, of_one)
        compared(store)
        assert b'"judged": true' in said
        assert answers(store) == said
        assert list(store.catalog.nulltests.texts()) == tested


def test_absent_and_imported_tracks_keep_their_rows(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", BLOCK_SIZE) as store:
        add_track(store, "away", recording(1, 200), state="absent")
        add_track(store, "imported", recording(2, 200), state="imported")
        add_track(store, "gone", recording(3, 200))
        store.seal_tail()
        forget(store, "gone")
        assert run_compact(store).dropped == 1
        assert list(store.catalog.blocks.rows().values()) == [2]


def test_one_audio_of_a_fingerprint_in_use_keeps_it(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", BLOCK_SIZE) as store:
        add_track(store, "one", recording(1, 200))
        add_track(store, "other stream, same items", recording(1, 200))
        store.seal_tail()
        forget(store, "one")
        assert run_compact(store).dropped == 0


def test_a_file_that_is_back_within_a_week_of_nights_costs_nothing(folder: Path) -> None:
    back = dict(tracks())
    with opened(folder) as store:
        for _ in range(KEPT_RUNS):
            done = compact_if_it_pays(store, Silent(), Stop())
            assert done is None or done.dropped == 0
        for name in FORGOTTEN:
            fingerprint = store.catalog.fingerprints.find(back[name])
            assert fingerprint is not None
        returned = FORGOTTEN[0]
        add_track(store, returned, back[returned])
        done = compact_if_it_pays(store, Silent(), Stop())
        assert done is not None
        assert 0 < done.dropped < len(FORGOTTEN)  # where a fifth of a block may go
        assert store.catalog.fingerprints.find(back[returned]) is not None
        assert compared(store).n_computed == 0


def test_the_disk_gets_the_room_back(folder: Path) -> None:
    def size() -> int:
        return sum(path.stat().st_size for path in (folder / "fingerprints.zarr").rglob("*") if path.is_file())

    with opened(folder) as store:
        all_tracks = [f"/music/{name}".encode() for name, _ in tracks()]
        with store.catalog.transaction():
            store.catalog.tracks.forget(all_tracks[2:])
        (pages,) = store.catalog.connection.execute("PRAGMA page_count").fetchone()
    before = size()
    with opened(folder) as store:
        run_compact(store)
        assert store.catalog.connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert store.catalog.connection.execute("PRAGMA page_count").fetchone()[0] < pages
    assert size() < before / 4


# ---- planning


uses = st.lists(st.tuples(st.integers(1, 64), st.integers(0, 64)).map(lambda n: (n[0], min(n))), max_size=40).map(
    lambda sizes: [Use(f"{number:032x}", *rows) for number, rows in enumerate(sizes)]
)


def after(blocks: list[Use], merges: list[BlockMerge]) -> list[Use]:
    replaced = {use.name for merge in merges for use in merge}
    kept = [sum(use.n_kept for use in merge) for merge in merges]
    merged = [Use(f"merged {number}", n) for number, n in enumerate(kept) if n]
    return [use for use in blocks if use.name not in replaced] + merged


@given(uses)
def test_a_plan_takes_each_block_once_into_one_that_has_room(blocks: list[Use]) -> None:
    for plan in (plan_merges, plan_worthwhile):
        merges = plan(blocks, 64)
        taken = Counter(use.name for merge in merges for use in merge)
        assert set(taken.values()) <= {1}
        assert all(sum(use.n_kept for use in merge) <= 64 for merge in merges)
        assert all(len(merge) > 1 or merge[0].n_dropped for merge in merges)


@given(uses)
def test_when_all_is_compacted_nothing_is_left_to_do(blocks: list[Use]) -> None:
    left = after(blocks, plan_merges(blocks, 64))
    assert plan_merges(left, 64) == []
    assert not any(use.n_dropped for use in left)
    assert sum(2 * use.n_kept <= 64 for use in left) <= 1


@pytest.mark.parametrize("a_night", [1, 3, 17, 300])
def test_nights_without_end_write_a_fingerprint_again_a_few_times_only(a_night: int) -> None:
    block_size, blocks, written = 1024, [], 0
    most_small = 0
    for night in range(500):
        blocks.append(Use(f"night {night}", a_night))
        merges = plan_worthwhile(blocks, block_size)
        written += sum(use.n_kept for merge in merges for use in merge)
        blocks = [Use(f"{night} {use.name}", use.n_rows) for use in after(blocks, merges)]
        most_small = max(most_small, sum(2 * use.n_kept <= block_size for use in blocks))
    assert written <= 6 * 500 * a_night  # log4(1024) is 5
    assert most_small <= (FANOUT - 1) * 6


def test_it_pays_to_drop_a_fifth() -> None:
    assert plan_worthwhile([Use("a", 100, 20)], 100) == []
    assert plan_worthwhile([Use("a", 100, 21)], 100) == [(Use("a", 100, 21),)]


def test_like_sizes_are_merged_and_others_left() -> None:
    small = [Use(name, 2) for name in "abcd"]
    assert plan_worthwhile(small[:3], 100) == []
    assert plan_worthwhile([*small, Use("e", 30), Use("f", 90)], 100) == [tuple(small)]


# ---- kills


KILLED_COMPACTION = """
import sys
from pathlib import Path
import zarr  # imported before the forks, not used: it would start a thread
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.store import blocks
from dedup.store.audios import Audios
from dedup.store.database import Database
from dedup.store.fingerprints import Fingerprints
from dedup.store.meta import Meta
from dedup.store.results import Results
from dedup.store.sealed import SealedBlocks
from dedup.upkeep.compact import compact
from dedup.store.store import open_for_writing
from tests.killing import kill_at_each_step

def run(folder):
    with open_for_writing(folder, "test") as store:
        compact(store, Silent(), Stop())

steps = [(blocks, "_sync_tree"), (blocks, "_remove"), (Path, "rename")]
steps += [(SealedBlocks, "add"), (SealedBlocks, "drop"), (Fingerprints, "move"), (Fingerprints, "drop")]
steps += [(Audios, "drop_of"), (Results, "put"), (Results, "drop_of"), (Meta, "set"), (Database, "shrink")]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), run, steps, every=int(sys.argv[3]))
"""


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_step_leaves_a_sound_store_and_the_next_run_goes_on(
    folder: Path, tmp_path: Path, every: int
) -> None:
    with opened(folder) as store:
        store.catalog.connection.execute("DELETE FROM tile WHERE settings = ?", (EXACT.digest(),))
    run_killed(KILLED_COMPACTION, folder, tmp_path, every)
    *killed, undisturbed = sorted(tmp_path.glob("killed *"))
    assert len(killed) > 20 // every
    with opened(undisturbed) as store:
        expected = answers(store), store.catalog.blocks.rows(), tile_rows(store)
    for left in killed:
        with open_for_reading(left) as store:
            assert damage(store) == []
            assert answers(store) == expected[0]
        with opened(left) as store:
            run_compact(store)
            assert (answers(store), store.catalog.blocks.rows(), tile_rows(store)) == expected
            assert store.blocks.names() == store.catalog.blocks.rows().keys()


def test_a_stop_ends_it_between_two_merges(folder: Path) -> None:
    stop = Stop()

    class Impatient(Silent):
        def advance(self, n: int = 1) -> None:
            del n
            stop.request("enough")

    with opened(folder) as store:
        before = answers(store)
        done = compact(store, Impatient(), stop)
        assert 2 < done.blocks_after < 7
        assert damage(store) == []
        assert answers(store) == before
        assert compared(store).n_computed == 0


# ---- beside a reader


def test_a_reader_beside_it_sees_no_damage(folder: Path) -> None:
    class Compacting(Silent):
        """Compacts when the check has begun."""

        def stage(self, name: str, total: int | None, unit: str) -> None:
            del name, total, unit
            with opened(folder) as store:
                run_compact(store)

    with open_for_reading(folder) as reader:
        assert [found for found in check(reader, Compacting()) if found.kind != "note"] == []


def test_a_reader_finds_items_that_were_moved_meanwhile(folder: Path) -> None:
    with open_for_reading(folder) as reader:
        (fingerprint, *_) = reader.catalog.connection.execute("SELECT MIN(fingerprint) FROM audio").fetchone()
        items = reader.items_of(fingerprint)
        fingerprints = reader.catalog.fingerprints
        place = fingerprints.place

        def place_then_compact(of_one: int) -> tuple[str, int] | None:
            fingerprints.place = place  # type: ignore[method-assign]
            found = place(of_one)
            with opened(folder) as store:
                run_compact(store)
            return found

        fingerprints.place = place_then_compact  # type: ignore[method-assign]
        assert reader.items_of(fingerprint).tolist() == items.tolist()


# ---- the commands


def invoke(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, [*arguments, "--store", str(folder)])


def test_the_command_says_what_it_would_do_and_does_it(folder: Path) -> None:
    planned = json.loads(invoke(folder, "compact", "--dry-run", "--json").stdout)
    with open_for_reading(folder) as store:
        assert len(store.catalog.blocks.rows()) == 7
    result = invoke(folder, "compact", "--json")
    assert result.exit_code == 0
    done = json.loads(result.stdout)
    for key in ("blocks_before", "blocks_after", "merged", "dropped"):
        assert planned[key] == done[key]
    assert (done["blocks_before"], done["blocks_after"], done["dropped"]) == (7, 2, len(FORGOTTEN))
    assert done["bytes_before"] > done["bytes_after"] > 0
    again = invoke(folder, "compact")
    assert (again.exit_code, again.stdout) == (0, "compact nothing to do: 2 blocks, no retired fingerprints\n")


def test_full_compacts_by_itself_when_it_pays(tmp_path: Path) -> None:
    store, music = tmp_path / "store", tmp_path / "music"
    music.mkdir()
    full = ("full", str(music), "--workers", "0", "--json")
    n_blocks = []
    for number in range(FANOUT):
        items = recording(number, 200).tolist()
        line = {"path": f"/elsewhere/{number}.mp3", "duration": 25, "fingerprint": items}
        (tmp_path / "lines").write_text(json.dumps(line))
        assert invoke(store, "import", str(tmp_path / "lines")).exit_code == 0
        summary = json.loads(invoke(store, *full).stdout.splitlines()[-1])
        n_blocks.append(summary["compact"] and summary["compact"]["blocks_after"])
    assert n_blocks == [None] * (FANOUT - 1) + [1]
    summary = json.loads(invoke(store, *full).stdout.splitlines()[-1])
    assert (summary["tiles"]["n_reused"], summary["tiles"]["n_computed"], summary["compact"]) == (1, 0, None)
    shown = CliRunner().invoke(cli.cli, ["full", str(music), "--workers", "0", "--store", str(store)]).stdout
    assert not any(line.startswith("compact") for line in shown.splitlines())


def test_what_is_left_is_told(folder: Path) -> None:
    with sqlite3.connect(folder / "catalog.db") as connection:
        connection.execute("DELETE FROM meta WHERE key = 'complete'")
        (name,) = connection.execute("SELECT name FROM tile WHERE settings = ? LIMIT 1", (CASCADE.digest(),)).fetchone()
        connection.execute("DELETE FROM tile WHERE name = ?", (name,))
    connection.close()
    assert "run `reprise correlate` to the end first" in invoke(folder, "compact").stdout
