"""Nobody else can read a store, whoever made its folder and whatever the umask is."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from cluster.open import open_runner
from dedup.cleanup.journal import JournalWriter, make_journal
from dedup.cleanup.originals import keep_original
from dedup.correlation.correlate import correlate
from dedup.observer import Silent
from dedup.runner import InlineRunner, Stop, Task
from dedup.settings import CompareSettings, FingerprintSettings
from dedup.store.layout import Layout
from dedup.store.store import make_or_open, open_for_writing
from dedup.upkeep.salvage import mend_catalog
from jobs.session.log import StoreLog
from tests.cluster_tasks import square
from tests.stores import add_track, recording

SETTINGS = FingerprintSettings("1.5.1")


@pytest.fixture(autouse=True)
def loose() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What others may read, write or enter, below and with the folder."""
    paths = [folder, *folder.rglob("*")]
    return sorted(str(path.relative_to(folder)) for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077)


def use(folder: Path, tmp_path: Path) -> None:
    """Writes everything that a store has."""
    with make_or_open(folder, SETTINGS, 2, "test") as store, StoreLog(folder) as log:
        for seed in range(4):
            add_track(store, f"{seed}.mp3", recording(seed, 150))
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        log.emit(logging.LogRecord("reprise", logging.INFO, "", 1, "a line", None, None))
        journal = make_journal(folder, json.dumps({}).encode(), "2026-03-01T02:30:00Z")
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(name.encode() * 99)
        with open(tmp_path / "a", "rb") as old, open(tmp_path / "b", "rb") as new:
            keep_original(old, new, journal.originals / "1")
        JournalWriter(journal).close()
        assert (folder / "catalog.db-wal").exists()
        assert open_to_others(folder) == []
    assert {"lock", "catalog.db", "reprise.log", "fingerprints.zarr", "cleanups"} <= set(os.listdir(folder))


def test_a_store_is_its_owners_alone(tmp_path: Path) -> None:
    use(tmp_path / "store", tmp_path)
    assert open_to_others(tmp_path / "store") == []


def test_a_folder_that_was_there_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    use(tmp_path / "store", tmp_path)
    assert open_to_others(tmp_path / "store") == []


def test_a_store_that_others_could_read_is_closed_by_whoever_writes(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    use(folder, tmp_path)
    (folder / "catalog.db.damaged").write_bytes(b"rows")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert len(open_to_others(folder)) > 15
    with open_for_writing(folder, "test"):
        assert open_to_others(folder) == []


def test_each_name_in_the_tree_of_a_store_is_known_as_its_own(tmp_path: Path) -> None:
    tree = resources.files("dedup.store").joinpath("FORMAT.md").read_text("utf-8").split("```")[1]
    lines = [line[2:] for line in tree.splitlines() if line.startswith("  ") and line[2] != " "]
    names = {name.rstrip("/,").partition("/")[0] for line in lines for name in re.split(" {2,}", line)[0].split()}
    assert {"lock", "plan-key", "wip-plan-key-…", "catalog.db-shm", "wip-catalog", "reprise.log.1"} <= names
    for name in names - {"…"}:
        (tmp_path / name).write_bytes(b"")
        (tmp_path / name).chmod(0o644)
    tmp_path.chmod(0o755)
    Layout(tmp_path).tighten()
    assert open_to_others(tmp_path) == []


def test_what_is_not_ours_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with make_or_open(folder, SETTINGS, 2, "test"):
        pass
    (folder / "notes.txt").write_text("mine")
    (folder / "sub").mkdir()
    folder.chmod(0o755)
    with make_or_open(folder, SETTINGS, 2, "test"):
        pass
    assert open_to_others(folder) == [".", "notes.txt", "sub"]


def test_a_link_to_a_store_leads_to_it(tmp_path: Path) -> None:
    use(tmp_path / "store", tmp_path)
    for path in (tmp_path / "store", tmp_path / "store" / "catalog.db"):
        path.chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with open_for_writing(tmp_path / "link", "test") as store:
        assert len(list(store.catalog.tracks.all())) == 4
    assert open_to_others(tmp_path / "store") == []


def test_a_new_catalog_is_its_owners_alone(tmp_path: Path) -> None:
    use(tmp_path / "store", tmp_path)
    os.truncate(tmp_path / "store" / "catalog.db", 20_000)
    mend_catalog(tmp_path / "store", "test")
    assert open_to_others(tmp_path / "store") == []


def test_what_a_cluster_logs_is_its_owners_alone(tmp_path: Path) -> None:
    with open_runner(1, Stop(), log_folder=tmp_path) as runner:
        assert [outcome.result for outcome in runner.run(square, [Task("one", (3,))])] == [9]
        logging.getLogger("distributed").warning("a line")
    assert {path.name for path in tmp_path.iterdir()} == {"cluster.log", "workers.log"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())
