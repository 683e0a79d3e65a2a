"""Back-ups that are killed: whatever the moment, the next run ends with each file once, whole, and in the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from dedup.files.standby import Standby
from dedup.library.identity import full_hash, stream_hash
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.scan.scan import scan
from dedup.settings import ScanSettings
from tests.backups import Backup, Told, folder, song
from tests.killing import run_killed


@pytest.fixture
def standby() -> Iterator[Standby]:
    with closing(Standby(1)) as made:
        yield made


KILLED = """
import os, sys
from contextlib import closing
from pathlib import Path
from dedup.files.held import Spot
from dedup.files.standby import Standby
from dedup.store.backups import Backups
from dedup.store.tracks import Tracks
from tests.backups import Backup, Told, folder
from tests.killing import kill_at_each_step

def run(base):
    with closing(Standby(1)) as standby:
        Backup(base, standby, Told()).run(folder(Path(sys.argv[3])))

steps = [(Spot, "create"), (Spot, "rename"), (Spot, "replace"), (Spot, "sync"), (Spot, "unlink")]
steps += [(os, "fsync"), (os, "mkdir"), (Backups, "put"), (Backups, "drop_row"), (Tracks, "put")]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), run, steps, every=int(sys.argv[4]))
"""


@pytest.mark.parametrize(
    ("every", "names", "at_least"),
    [
        pytest.param(1, ("0.flac", "1.flac"), 30, marks=pytest.mark.long, id="each"),
        pytest.param(12, ("0.flac",), 3, id="some"),
    ],
)
def test_a_kill_at_any_moment_leaves_no_file_twice_and_none_torn(
    standby: Standby, tmp_path: Path, every: int, names: tuple[str, ...], at_least: int
) -> None:
    drive = tmp_path / "drive"
    for name in (*names, "0.mp3"):
        song(drive / "An album" / name, int(name[0]), name.partition(".")[2])
    lyrics = "An album/0.lrc"
    (drive / lyrics).write_bytes(b"[00:01.00]la\n" * 1000)
    expected = [f"An album/{name}" for name in names]
    made, target = tmp_path / "made", tmp_path / "killed"
    (made / "to").mkdir(parents=True)
    target.mkdir()
    with Backup(made, standby, Told()).store():
        pass
    run_killed(KILLED, made, target, drive, every, timeout_s=900.0)
    *killed, undisturbed = sorted(target.iterdir())
    assert len(killed) >= at_least
    for base in [*killed, undisturbed]:
        each = Backup(base, standby, Told())
        each.require_sound()
        result, found = each.run(folder(drive))
        assert result.error is None and {taken.outcome for taken in found} <= {"new", "here", "known"}, base
        assert each.files() == sorted([*expected, lyrics]), base
        assert (each.to / lyrics).read_bytes() == (drive / lyrics).read_bytes(), base
        with each.store() as store:
            rows = store.catalog.backups.of_source(f"folder {quote_from_bytes(os.fsencode(drive))}")
            assert sorted(row.state for row in rows.values()) == ["here", *["kept"] * len(names)], base
            for row in rows.values():
                assert not row.full or full_hash(row.path) == row.full, base
            again = scan(store, [os.fsencode(each.to)], ScanSettings(), InlineRunner(), Silent())
            assert again.unchanged == again.discovered == len(names), base
        for name in expected:
            assert stream_hash(os.fsencode(each.to / name)) == stream_hash(os.fsencode(drive / name)), base
        each.require_sound()
