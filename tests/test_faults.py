"""What a library, a disk and a clock can do to a run: files that end or hang the decoder, writes that are refused, rot
in the catalog, a store that is held, times that make no sense. `scripts/torture/faults.py` does far more."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from cluster.open import open_runner
from dedup.correlation.correlate import correlate
from dedup.errors import CatalogDamagedError, StoreMismatchError
from dedup.files.status import COARSE_NS, FINE_NS, as_int64, settling_s
from dedup.groups.judgements import history, record
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.report.export import export_pairs
from dedup.runner import InlineRunner, Stop
from dedup.scan.scan import Scan, scan
from dedup.settings import CompareSettings, FingerprintSettings, MatchSettings, ScanSettings
from dedup.store.catalog import Catalog
from dedup.store.layout import Layout, write_lock
from dedup.store.store import make_or_open, open_for_reading, open_for_writing
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from dedup.upkeep.check import check, repair
from dedup.upkeep.salvage import mend_catalog
from jobs.cli import cli
from scripts.torture import faults as fault_test
from scripts.torture.fault_injection import Ended, Fault, Host
from tests.killing import run_killed
from tests.stores import add_track, copied, open_store, recording

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = FingerprintSettings("1.5.1")

# ---- files that are the end of a worker ----

HOOK = """
import os, signal, sys

def hook(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return
    path = os.fsdecode(arguments[0])
    name = os.path.basename(path)
    if not name.startswith("fault "):
        return
    if not sys._getframe(2).f_code.co_filename.endswith("fingerprint/decode.py"):
        return
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "vanish" in name:
        os.unlink(path)
    if "change" in name:
        os.utime(path, ns=(1, 1))

sys.addaudithook(hook)
"""
"""Of the workers, as `sitecustomize`: what happens to a file when it is about to be decoded goes by its name."""


def counts(found: Scan) -> dict[str, int]:
    """The counts that are not zero."""
    names = [field.name for field in fields(Scan) if isinstance(getattr(found, field.name), int)]
    return {name: getattr(found, name) for name in names if getattr(found, name)}


def write_song(path: Path, seed: int, form: str = "mp3") -> Path:
    write(str(path), compose(seed, "somebody", 8.0 + seed / 4), Encoding(form, 96_000))
    return path


def test_files_that_end_their_worker_cost_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    music = tmp_path / "music"
    music.mkdir()
    for seed in range(4):
        write_song(music / f"{seed}.mp3", seed)
    for seed, name in enumerate(("fault crash", "fault vanish", "fault change"), start=4):
        write_song(music / f"{name}.mp3", seed)
    (music / "nothing.wav").write_bytes(wav_header(n_bytes=0))
    with open(music / "endless.wav", "wb") as file:
        file.write(wav_header(n_bytes=0xFFFFFF00))
        file.truncate(4 << 30)
    how = ScanSettings(min_length_s=4.0, time_limit_s=2.0)
    with make_or_open(tmp_path / "store", SETTINGS, 4, "test") as store, open_runner(2, Stop()) as runner:
        found = scan(store, [os.fsencode(music)], how, runner, Silent())
        assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []
    reasons = {os.path.basename(problem.path): problem.reason for problem in found.problems}
    assert reasons.pop(b"nothing.wav").startswith(("not an audio file", "nothing could be decoded"))
    assert reasons == {
        b"fault crash.mp3": "killed its worker: SIGSEGV (twice)",
        b"fault vanish.mp3": "vanished",
        b"fault change.mp3": "changed while it was read",
        b"endless.wav": "decoding took longer than 2 s",
    }
    assert counts(found) == {"discovered": 9, "fingerprinted": 4, "failed": 5}
    # What lasts is remembered; what vanished or changed is looked at again.
    with make_or_open(tmp_path / "store", SETTINGS, 4, "test") as store:
        again = scan(store, [os.fsencode(music)], how, InlineRunner(), Silent())
    assert counts(again) == {"discovered": 8, "unchanged": 4, "fingerprinted": 1, "failed": 3}


def wav_header(n_bytes: int) -> bytes:
    """Of a WAV of 44,100 Hz, stereo, 16 bits."""
    size = min(n_bytes + 36, 0xFFFFFFFF).to_bytes(4, "little")
    form = bytes.fromhex("10000000 0100 0200 44ac0000 10b10200 0400 1000")
    return b"RIFF" + size + b"WAVEfmt " + form + b"data" + n_bytes.to_bytes(4, "little")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """Property: what was a file when it was discovered may be anything when it is looked at."""
    path = tmp_path / "music" / "a.mp3"
    path.parent.mkdir()
    path.write_bytes(b"no music")

    class Swapping(InlineRunner):
        def run(self, *arguments: object, **more: object) -> Iterator[object]:  # type: ignore[override]
            if path.is_file():
                path.unlink()
                os.mkfifo(path)
            return super().run(*arguments, **more)  # type: ignore[arg-type]

    with make_or_open(tmp_path / "store", SETTINGS, 4, "test") as store:
        found = scan(store, [os.fsencode(path.parent)], ScanSettings(), Swapping(), Silent())
    assert [problem.reason for problem in found.problems] == ["changed since it was discovered: no regular file"]
    assert counts(found) == {"discovered": 1, "failed": 1}


# ---- a disk that refuses ----


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture(scope="module")
def bench(host: Host, tmp_path_factory: pytest.TempPathFactory) -> fault_test.Bench:
    work = tmp_path_factory.mktemp("bench")
    fault_test.make_music(work / "music", n_songs=2)
    return fault_test.Bench(host, work)


@pytest.fixture(scope="module")
def truth(bench: fault_test.Bench) -> fault_test.Truth:
    return bench.undisturbed()


@pytest.mark.parametrize(
    ("place", "code", "expected"),
    [
        ("write /reprise.log", errno.ENOSPC, {3, 14}),
        ("write /catalog.db-wal", errno.ENOSPC, {14}),
        ("open /fingerprints.zarr/block/items/zarr.json", errno.EROFS, {14}),
        ("fsync /fingerprints.zarr/block", errno.EIO, {14}),
    ],
)
def test_a_refused_write_is_one_line_and_the_next_run_goes_on(
    bench: fault_test.Bench, truth: fault_test.Truth, place: str, code: int, expected: set[int]
) -> None:
    """Where no library can be compiled that refuses the call, files are limited in size."""
    at = [number for number, site in enumerate(truth.sites, 1) if fault_test.place(site) == place]
    store = str(bench.work / "disturbed")
    fault = Fault(store, at[len(at) // 2], how=code) if at else Fault(store, file_size=5000 + 1000 * code)
    ending, wrong = fault_test.try_refusal(bench, truth, place, fault)
    assert wrong == []
    assert not at or ending in {f"exit {number}" for number in expected}


def test_a_log_that_is_refused_alone_costs_the_run_nothing(bench: fault_test.Bench, truth: fault_test.Truth) -> None:
    """Property: the log is for people; a run whose log the disk does not take ends as it would have."""
    store = bench.work / "logless"
    store.mkdir()
    (store / "reprise.log").symlink_to("/dev/full" if Path("/dev/full").exists() else store)
    done: Ended = bench.full(store)
    assert done.code == fault_test.SOME_FAILED, done.err
    assert "reprise: " not in done.err
    assert bench.pairs(store) == truth.pairs


# ---- rot in the catalog ----


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 40 recordings in two copies each, compared, and a judgement."""
    folder = tmp_path_factory.mktemp("sound") / "store"
    with open_store(folder, block_size=8) as store:
        for seed in range(40):
            items = recording(seed, 150)
            add_track(store, f"{seed}.flac", items)
            add_track(store, f"{seed}.mp3", copied(items, 0.1, seed))
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        record(store, b"c" * 16, b"d" * 16, same=False, score=None)
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def rot(page: int, n_bits: int) -> Callable[[Path], None]:
    def damage(catalog: Path) -> None:
        fault_test.flip(catalog, random.Random(page), n_bits, 4096 * (page - 1), 4096)

    return damage


def page_of(table: str, folder: Path) -> int:
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        return int(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0])


@pytest.mark.parametrize("what", ["track", "tile", "fingerprint", "audio_key", "schema", "header", "end", "text"])
def test_a_catalog_that_is_no_database_is_made_anew_of_what_can_be_read(
    sound: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Property: after a repair the store is sound, what a person said is kept, and what can be made again is."""
    folder = tmp_path / "store"
    shutil.copytree(sound, folder)
    catalog = folder / "catalog.db"
    if what == "header":
        catalog.write_bytes(b"\xff" * 20 + catalog.read_bytes()[20:])
    elif what == "end":
        os.truncate(catalog, 30 * 4096 + 100)
    elif what == "text":
        catalog.write_bytes(catalog.read_bytes().replace(b"CREATE TABLE track", b"CREATE T\xff\xfeLE track", 1))
    else:
        with open(catalog, "r+b") as file:
            file.seek(
                4096 * ((1 if what == "schema" else page_of(what, folder)) - 1) + (100 if what == "schema" else 0)
            )
            file.write(b"\xff" * 64)
    assert main("check", "--store", str(folder)) == 13
    assert "check --repair" in "".join(capsys.readouterr())
    assert main("check", "--repair", "--store", str(folder)) == 0
    told = "".join(capsys.readouterr())
    assert "made a new catalog from everything that could be read" in told
    assert "Traceback" not in told
    assert (folder / "catalog.db.damaged").stat().st_size == catalog_size(sound, what)
    with open_for_writing(folder, "test") as store:
        assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []
        assert [judgement.same for judgement in history(store)] == [False]
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        known = {track.path for track in store.catalog.tracks.all()}
        pairs = list(export_pairs(Matches(store, MatchSettings())))
    with open_for_reading(sound) as store:
        expected = [
            pair
            for pair in export_pairs(Matches(store, MatchSettings()))
            if {pair["a"].encode(), pair["b"].encode()} <= known
        ]
    assert pairs == expected
    assert len(known) == 80 or what in ("track", "fingerprint", "end")


def catalog_size(sound: Path, what: str) -> int:
    return 30 * 4096 + 100 if what == "end" else (sound / "catalog.db").stat().st_size


def test_where_nothing_can_be_read_the_store_is_left_as_it_is(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    shutil.copytree(sound, folder)
    (folder / "catalog.db").write_bytes(b"garbage" * 999)
    (folder / "fingerprints.zarr" / "zarr.json").unlink()
    before = sorted(os.listdir(folder))
    with pytest.raises(CatalogDamagedError, match="cannot be read, and neither can the root group"):
        mend_catalog(folder, "test")
    assert sorted(os.listdir(folder)) == before
    assert (folder / "catalog.db").read_bytes() == b"garbage" * 999


def test_a_torn_log_loses_the_newest_commits_and_no_more(sound: Path, tmp_path: Path) -> None:
    """Property: what a rotten log of commits held is as if it had not been committed, and nobody passes over that in
    silence."""
    folder = tmp_path / "store"
    with make_or_open(tmp_path / "beside", SETTINGS, 8, "test"):
        shutil.copytree(sound, folder)
    with open_for_writing(folder, "test") as store:
        for seed in range(100, 110):
            add_track(store, f"{seed}.flac", recording(seed, 150))
        log = (folder / "catalog.db-wal").read_bytes()
        torn = tmp_path / "torn"
        shutil.copytree(folder, torn)
    (torn / "catalog.db-wal").write_bytes(log[: len(log) // 2] + b"\xff" * 8 + log[len(log) // 2 + 8 :])
    for opened in (open_for_reading(torn), open_for_writing(torn, "test"), open_for_writing(torn, "test")):
        with pytest.raises(CatalogDamagedError, match=r"the last \d+ commits are lost"), opened:
            pass
    mend_catalog(torn, "test")
    with open_for_writing(torn, "test") as store:
        repair(store, check(store, Silent()))
        assert 80 <= len(list(store.catalog.tracks.all())) < 90


@pytest.mark.parametrize("at", ["head", "first frame", "last frame"])
def test_a_log_that_is_damaged_at_either_end_is_told(sound: Path, tmp_path: Path, at: str) -> None:
    folder, torn = tmp_path / "store", tmp_path / "torn"
    shutil.copytree(sound, folder)
    with open_for_writing(folder, "test") as store:
        for seed in range(100, 110):
            add_track(store, f"{seed}.flac", recording(seed, 150))
        shutil.copytree(folder, torn)
    log = bytearray((torn / "catalog.db-wal").read_bytes())
    log[{"head": 18, "first frame": 40, "last frame": len(log) - 5}[at]] ^= 1
    (torn / "catalog.db-wal").write_bytes(log)
    if at != "last frame":
        with pytest.raises(CatalogDamagedError, match=r"the last \d+ commits are lost"), open_for_reading(torn):
            pass
        return
    with open_for_reading(torn) as store:  # a power failure while it was written would leave the same
        told = {finding.name: finding.text for finding in check(store, Silent())}
    assert "the last commit in its log is not whole" in told["catalog.db-wal"]


def test_a_log_that_is_gone_after_a_kill_is_told_by_a_check(sound: Path, tmp_path: Path) -> None:
    folder, killed = tmp_path / "store", tmp_path / "killed"
    shutil.copytree(sound, folder)
    with open_for_writing(folder, "test") as store:
        add_track(store, "100.flac", recording(100, 150))
        shutil.copytree(folder, killed)
    for end in ("wal", "shm"):
        (killed / f"catalog.db-{end}").unlink(missing_ok=True)
    with open_for_reading(killed) as store:
        (note,) = check(store, Silent())
    assert (note.kind, note.name) == ("note", "catalog.db-wal")
    assert "what it committed last may be lost" in note.text
    with open_for_reading(folder) as store:
        assert "catalog.db-wal" not in [finding.name for finding in check(store, Silent())]


# ---- a catalog that is lost ----


@pytest.mark.parametrize("how", ["missing", pytest.param("empty", marks=pytest.mark.long)])
def test_a_catalog_that_is_lost_is_made_anew_and_the_files_read_anew(
    bench: fault_test.Bench, truth: fault_test.Truth, how: str
) -> None:
    store = bench.work / "bereft"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(truth.folder, store)
    fault_test.settle_log(store)
    catalog = store / "catalog.db"
    os.truncate(catalog, 0) if how == "empty" else catalog.unlink()
    for done in (bench.run("check", store), bench.run("export", store, "pairs"), bench.full(store)):
        assert fault_test.require_clear(done, {13}) == []
        assert f"{how}, although there are blocks" in done.err
        assert "check --repair" in done.err
    repaired = bench.run("check", store, "--repair")
    assert fault_test.require_clear(repaired, {0}) == []
    assert "0 judgements; `reprise full` reads all files again, but your judgements of pairs are lost" in str(
        repaired.out
    )
    again = bench.full(store)
    assert again.code == fault_test.SOME_FAILED
    assert fault_test.summary(again)["fingerprinted"] == truth.n_fingerprinted
    assert fault_test.require_same(bench, store, truth) == []
    assert fault_test.count_judgements(store) == 0


@pytest.mark.parametrize("how", ["empty", "missing"])
def test_what_the_log_of_a_lost_catalog_holds_is_kept(tmp_path: Path, how: str) -> None:
    """Property: the log of a killed run has pages of the catalog; where it has all of them, nothing is lost."""
    folder, unsettled = tmp_path / "store", tmp_path / "unsettled"
    with make_or_open(unsettled, SETTINGS, 8, "test") as store:
        add_track(store, "a.mp3", recording(1, 150))
        store.seal_tail()
        record(store, b"a" * 16, b"b" * 16, same=True, score=None)
        shutil.copytree(unsettled, folder)
    os.truncate(folder / "catalog.db", 0) if how == "empty" else (folder / "catalog.db").unlink()
    assert mend_catalog(folder, "test")["judgement"] == 1
    with open_for_writing(folder, "test") as store:
        assert check(store, Silent()) == []
        assert [track.path for track in store.catalog.tracks.all()] == [b"/music/a.mp3"]


def test_what_an_earlier_repair_kept_is_not_given_for_nothing(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    shutil.copytree(sound, folder)
    (folder / "catalog.db.damaged").write_bytes(b"rows")
    os.truncate(folder / "catalog.db", 0)
    mend_catalog(folder, "test")
    assert (folder / "catalog.db.damaged").read_bytes() == b"rows"


@pytest.mark.parametrize(
    ("told", "repeated", "n_tiles"),
    [(6, 6, 55), (6, 8, 55), (8, 6, 55), (None, 6, 55), (6, None, 55), (None, None, 0)],
)
def test_results_are_carried_over_where_anything_says_that_they_are_of_our_version(
    sound: Path, tmp_path: Path, told: int | None, repeated: int | None, n_tiles: int
) -> None:
    folder = tmp_path / "store"
    shutil.copytree(sound, folder)
    set_versions(folder, told, repeated)
    assert mend_catalog(folder, "test")["tile"] == n_tiles
    with open_for_writing(folder, "test") as store:
        assert {finding.kind for finding in check(store, Silent())} <= ({"root"} if repeated != 6 else set())
        compared = correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        assert (compared.n_reused, compared.n_computed) == (n_tiles, 55 - n_tiles)


@pytest.mark.parametrize(("told", "repeated"), [(7, 7), (None, 7), (7, None)])
def test_a_store_of_another_version_is_left_as_it_is(
    sound: Path, tmp_path: Path, told: int | None, repeated: int | None
) -> None:
    folder = tmp_path / "store"
    shutil.copytree(sound, folder)
    set_versions(folder, told, repeated)
    before = (folder / "catalog.db").read_bytes()
    with pytest.raises(StoreMismatchError, match=r"format version 7; expected version 6\. Use the release"):
        mend_catalog(folder, "test")
    assert (folder / "catalog.db").read_bytes() == before


def set_versions(folder: Path, told: int | None, repeated: int | None) -> None:
    """That of the stamp and that of the root group; None takes it away, of the group with all of it."""
    with closing(Catalog(folder / "catalog.db")) as catalog:
        catalog.meta.set("format_version", told)
        catalog.take_in_log()
    root = folder / "fingerprints.zarr" / "zarr.json"
    if repeated is None:
        root.unlink()
    else:
        root.write_text(root.read_text().replace('"format_version": 6', f'"format_version": {repeated}'))


# ---- a repair that is killed ----

KILLED_REPAIR = """
import os, shutil, sys
from pathlib import Path
import zarr  # imported before the forks, not used: it would start a thread
from dedup.upkeep.salvage import mend_catalog
from tests.killing import kill_at_each_step

def run(folder):
    if sys.argv[3] == "copies":
        def link(*_):
            raise PermissionError("no hard links here")
        os.link = link
    mend_catalog(folder, "test")

steps = [(os, "link"), (os, "replace"), (shutil, "copyfile"), (shutil, "rmtree")]
steps += [(Path, name) for name in ("unlink", "touch", "mkdir")]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), run, steps, every=int(sys.argv[4]))
"""


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize(("how", "least"), [("links", 15), ("copies", 15), ("missing", 12)])
def test_a_repair_that_is_killed_at_any_step_loses_no_commit(tmp_path: Path, how: str, least: int, every: int) -> None:
    """Property: what the log of a damaged catalog holds is there, in it or in the new one, whenever the repair ends;
    and nobody takes what is left in between for a store."""
    damaged, killed = tmp_path / "damaged", tmp_path / "killed"
    killed.mkdir()
    with make_or_open(tmp_path / "made", SETTINGS, 8, "test") as store:
        add_track(store, "a.mp3", recording(1, 150))
        store.seal_tail()
        if how != "missing":
            store.catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        record(store, b"a" * 16, b"b" * 16, same=True, score=None)
        shutil.copytree(tmp_path / "made", damaged)
    if how == "missing":
        (damaged / "catalog.db").unlink()
    else:
        with open(damaged / "catalog.db", "r+b") as file:
            file.seek(4096 * (page_of("run", tmp_path / "made") - 1))
            file.write(b"\xff" * 64)
    run_killed(KILLED_REPAIR, damaged, killed, how, every)
    *left, _ = sorted(killed.iterdir())
    assert len(left) >= least // every
    for folder in left:
        try:
            with open_for_reading(folder) as store:
                assert len(history(store)) == 1
                is_damaged = check(store, Silent()) != []
        except CatalogDamagedError:
            is_damaged = True
        if is_damaged:
            assert mend_catalog(folder, "test")["judgement"] == 1
        with open_for_writing(folder, "test") as store:
            assert check(store, Silent()) == []
            assert [judgement.same for judgement in history(store)] == [True]
        assert not (folder / "wip-catalog").exists()


def test_a_repair_that_fails_leaves_the_catalog_and_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    with make_or_open(tmp_path / "made", SETTINGS, 8, "test") as store:
        add_track(store, "a.mp3", recording(1, 150))
        store.seal_tail()
        shutil.copytree(tmp_path / "made", folder)
    before = [(folder / name).read_bytes() for name in ("catalog.db", "catalog.db-wal")]
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if source.name == "new.db":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        mend_catalog(folder, "test")
    assert [(folder / name).read_bytes() for name in ("catalog.db", "catalog.db-wal")] == before
    assert not (folder / "wip-catalog").exists()


# ---- two launchers ----


def main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments), prog_name="reprise")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_second_launcher_says_who_holds_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_song(tmp_path / "0.mp3", 0)
    full = ("full", str(tmp_path), "--store", str(tmp_path / "store"), "--workers", "0", "--min-length", "4", "-q")
    assert main(*full) == 0
    with write_lock(Layout(tmp_path / "store"), "reprise full"):
        for command in (full, ("check", "--repair", "--store", str(tmp_path / "store"))):
            capsys.readouterr()
            assert main(*command) == 11
            told = capsys.readouterr().err
            assert f"in use by reprise full (pid {os.getpid()} on " in told
            assert len(told.splitlines()) == 1


@pytest.mark.parametrize("holder", [{"pid": 1, "host": "here"}, {"pid": 4_000_000, "host": "elsewhere"}, {}])
def test_what_a_lock_says_holds_nobody(tmp_path: Path, holder: dict[str, object]) -> None:
    """Property: a lock is held by a process, not by its text: one whose number another process has now, or that ran on
    another host, holds nothing."""
    with make_or_open(tmp_path / "store", SETTINGS, 4, "test"):
        pass
    text = json.dumps(holder | {"since": "2038-01-19 03:14:08", "purpose": "reprise full"})
    (tmp_path / "store" / "lock").write_text(text)
    with open_for_writing(tmp_path / "store", "test"):
        assert "elsewhere" not in (tmp_path / "store" / "lock").read_text()
    assert (tmp_path / "store" / "lock").read_text() == ""


# ---- clocks ----

NOW = 1_700_000_000 * 10**9 + 123_456_789


@pytest.mark.parametrize(
    ("mtime_ns", "expected_s"),
    [
        (NOW - FINE_NS, 0),  # long enough ago
        (NOW - 10**6 * 5, 0.015),
        (NOW, 0.02),
        (NOW + 10**6 * 5, 0.025),
        (NOW + FINE_NS, 0),  # another clock's
        (NOW // 10**9 * 10**9, 2 - 0.123456789),  # whole seconds: two may be a tick
        (NOW // 10**9 * 10**9 - 10**9, 1 - 0.123456789),
        (NOW // 10**9 * 10**9 - 2 * 10**9, 0),
        (NOW // 10**9 * 10**9 + 10**9, 3 - 0.123456789),  # rounded up
        (NOW + 3600 * 10**9, 0),
        (-(2**31) * 10**9, 0),
        (0, 0),
    ],
)
def test_a_file_is_read_after_the_tick_of_its_last_change(mtime_ns: int, expected_s: float) -> None:
    assert settling_s([mtime_ns], NOW) == pytest.approx(expected_s, abs=1e-9)
    assert settling_s([mtime_ns, NOW - 10**12], NOW) == pytest.approx(expected_s, abs=1e-9)


def test_no_file_no_wait() -> None:
    assert settling_s([], NOW) == 0
    assert settling_s([NOW, NOW - 10**6], NOW) == pytest.approx(0.02)


class Patient(threading.Event):
    """Notes how long one would have waited."""

    waited_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s += timeout or 0.0
        return False


def test_a_scan_lets_the_tick_of_a_coarse_clock_pass(tmp_path: Path) -> None:
    """Property: who rewrites a file within the tick in which it was seen leaves size and time as they were; so nothing
    is read before that tick is over, and never again is there a wait for it."""
    path = write_song(tmp_path / "0.wav", 0, "wav")
    second = time.time_ns() // 10**9 * 10**9
    os.utime(path, ns=(second, second))
    for least, most in ((0.5, 4.0), (0.0, 0.0)):
        stop = Stop(Patient())
        with make_or_open(tmp_path / "store", SETTINGS, 4, "test") as store:
            found = scan(store, [os.fsencode(tmp_path)], ScanSettings(min_length_s=4.0), InlineRunner(stop), Silent())
        assert found.fingerprinted + found.unchanged == 1
        assert isinstance(stop.event, Patient)
        assert least <= stop.event.waited_s <= most
    assert COARSE_NS == 2 * 10**9


@pytest.mark.parametrize("mtime_s", [-(2**31), -1, 0, 2**31, 2**33, 10**10])
def test_no_time_of_change_is_too_strange(tmp_path: Path, mtime_s: int) -> None:
    """Property: times before 1970 and after 2262 are times like others: remembered, and told from others."""
    (tmp_path / "music").mkdir()
    path = write_song(tmp_path / "music" / "0.mp3", 0)
    os.utime(path, ns=(0, mtime_s * 10**9 + 5))
    with make_or_open(tmp_path / "store", SETTINGS, 4, "test") as store:
        how, roots = ScanSettings(min_length_s=4.0), [os.fsencode(tmp_path / "music")]
        assert scan(store, roots, how, InlineRunner(), Silent()).fingerprinted == 1
        assert scan(store, roots, how, InlineRunner(), Silent()).unchanged == 1
        os.utime(path, ns=(0, mtime_s * 10**9 + 10**9 + 5))
        assert counts(scan(store, roots, how, InlineRunner(), Silent())) == {
            "discovered": 1,
            "identical": 1,
            "changed": 1,
        }


def test_numbers_of_64_bits_without_a_sign_are_kept_one_to_one() -> None:
    numbers = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    kept = [as_int64(number) for number in numbers]
    assert kept == [0, 1, 2**63 - 1, -(2**63), -1]
    assert as_int64(-5) == -5
