"""`reprise gate`: answers on the terminal, in JSON and as exit codes."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dedup.correlation.correlate import correlate
from dedup.files.paths import path_from_json
from dedup.gate.memory import memory_needed, processes_that_fit
from dedup.gate.nouns import Decision
from dedup.gate.shelves import shelves_of
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.scan.scan import scan
from dedup.settings import CompareSettings, FingerprintSettings, ScanSettings
from dedup.store.store import make_or_open, open_for_reading, open_for_writing
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from jobs import cli
from jobs.serve import gate_client
from jobs.session.lines import Look
from jobs.show.gate import CODES, code_of, decision_line, exit_code_of

SONG = "a song.flac"


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`library`, and `new`: files on their way in."""
    base = tmp_path_factory.mktemp("gate")
    (base / "library").mkdir()
    (base / "new").mkdir()
    write(str(base / "library" / SONG), compose(1, "one", 14.0), Encoding("flac"))
    shutil.copy(base / "library" / SONG, base / "new" / "identical.flac")
    write(str(base / "new" / "strange.mp3"), compose(2, "two", 14.0), Encoding("mp3", 128_000))
    (base / "new" / "garbage.mp3").write_bytes(bytes(1000))
    return base


@pytest.fixture(scope="module")
def folder(music: Path) -> Path:
    """A store of the library."""
    with make_or_open(music / "store", FingerprintSettings(), 4, "test") as store:
        scan(store, [os.fsencode(music / "library")], ScanSettings(), InlineRunner(), Silent())
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    return music / "store"


def asked(command: str, *arguments: str | bytes | Path, store: Path) -> Result:
    return CliRunner().invoke(cli.cli, ["gate", command, "--store", str(store), *map(os.fsdecode, arguments)])


def test_the_exit_code_tells_the_answer(music: Path, folder: Path) -> None:
    new, song = music / "new", music / "library" / SONG
    done = asked("check", new / "identical.flac", store=folder)
    assert done.exit_code == 6
    assert done.stdout == f"duplicate      {new / 'identical.flac'}: {song} has the same bytes\n"
    done = asked("check", song, new / "strange.mp3", new / "missing.mp3", store=folder)
    assert done.exit_code == 3
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == ["known", "import", "unusable", "3"]


def test_of_several_the_first_in_an_order_counts() -> None:
    assert [CODES[answer] for answer in CODES] == [3, 7, 8, 6, 0, 5]
    assert exit_code_of([5, 0]) == 0
    assert exit_code_of([5]) == 5
    assert exit_code_of([0, 6, 8, 7]) == 7


def test_a_policy_turns_a_question_into_a_yes_or_no() -> None:
    for answer in ("better", "other version"):
        codes = [code_of(Decision(b"/a", answer, "", deed=deed)) for deed in ("ask", "import", "reject")]  # type: ignore[arg-type]
        assert codes == [CODES[answer], 0, 6]  # type: ignore[index]


def test_a_line_fits_a_terminal() -> None:
    path = b"/a/long/way/" + 30 * b"x" + "\u6b4c\n\x1b[31m".encode() + b"\xff.mp3"
    decision = Decision(path, "other version", "it is another mix of " + 40 * "y")
    line = decision_line(decision, Look(80, wraps=True))
    assert line.startswith("other version  " + 30 * "x") and line.endswith("\u2026")
    assert len(line) <= 80
    assert decision_line(decision, Look()).endswith(40 * "y")


def test_names_are_told_as_they_are(music: Path, folder: Path, tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"-a\n\x1b[31m\xff;$(x).flac")
    shutil.copy(music / "new" / "identical.flac", name)
    done = asked("check", "--json", "--", name, store=folder)
    assert done.exit_code == 6
    (line,) = done.stdout_bytes.splitlines()
    told = json.loads(line)
    assert path_from_json(told) == name
    assert told["answer"] == "duplicate"
    assert [path_from_json(each) for each in told["copies"]] == [os.fsencode(music / "library" / SONG)]
    assert told["copies"][0]["score"] == 1.0
    done = asked("check", "--", name, store=folder)
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == 1


def test_a_store_that_is_not_there_or_in_use(music: Path, folder: Path, tmp_path: Path) -> None:
    strange = music / "new" / "strange.mp3"
    assert asked("check", strange, store=tmp_path / "none").exit_code == 18
    with open_for_writing(folder, "reprise full"):
        assert asked("check", strange, store=folder).exit_code == 0


def test_a_folder_in_lines_of_json(music: Path, folder: Path, tmp_path: Path) -> None:
    done = asked("backfill", "--json", music / "new", store=folder)
    assert done.exit_code == 3
    *decisions, summary = map(json.loads, done.stdout.splitlines())
    assert Counter(each["answer"] for each in decisions) == summary["answers"]
    assert summary["files"] == len(decisions) == len(list((music / "new").iterdir()))
    assert asked("backfill", tmp_path, store=folder).exit_code == 5
    assert asked("backfill", tmp_path / "none", store=folder).exit_code == 10


def test_a_gate_that_does_not_fit_into_memory_is_not_opened(
    music: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(folder / "gate", ignore_errors=True)
    with open_for_reading(folder) as store:
        before = memory_needed(store, 2)
        shelves_of(store)
        after = memory_needed(store, 2)
        assert after < before, "what is packed takes no more memory"
        shelves_of(store)
        assert memory_needed(store, 2) == after
        assert processes_that_fit(store, 8, memory_needed(store, 3)) == 3
        assert processes_that_fit(store, 2, memory_needed(store, 3)) == 2
    monkeypatch.setattr("cluster.process.memory_limit", lambda: 100 << 20)
    done = asked("check", music / "new" / "identical.flac", store=folder)
    assert done.exit_code == 19
    (line,) = done.stderr.splitlines()
    assert "memory of the gate: 100 MiB" in line and "at least" in line


def test_a_gate_that_is_busy_is_not_called_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_client, "CALL_S", 0.1)
    name = tmp_path / "store" / "gate" / "socket"
    name.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(name))
        listening.listen()
        for options in ((), ("--socket", name)):
            done = asked("ask", tmp_path / "a.mp3", *options, store=tmp_path / "store")
            assert done.exit_code == 23
            assert "is open, but gave no answer" in done.stderr and "Ask again later" in done.stderr
