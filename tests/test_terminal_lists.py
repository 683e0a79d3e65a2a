"""What the commands show on a real terminal, at the widths that people have: no line is too long, no word is broken,
colour only where it is wanted."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from jobs import cli
from jobs.session.lines import width_of
from tests.cleanups import make_files, make_store, run
from tests.terminal import person

NAME = "Été Indien/1999 - 長いアルバムの名前 (Deluxe)/01 A Song With a Name That Is Longer Than It Needs To Be.flac"
FILES = {NAME: 1, "[bold]a.wav": 1, "sub/a.mp3": 1, "b.flac": 2, "deep/b.mp3": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library after a clean-up that was taken back; one score is uncertain."""
    root = tmp_path_factory.mktemp("shown") / "music"
    make_files(root, FILES)
    make_store(root.parent / "store", root, FILES)
    plan = root.parent / "plan.json"
    run(root, "plan", "-o", plan, "--no-merge")
    assert run(root, "apply", plan).exit_code == 0
    assert run(root, "undo").exit_code == 0
    return root


def shown(monkeypatch: pytest.MonkeyPatch, root: Path, width: int, *words: str) -> str:
    """What a command writes to a terminal at which somebody types "q" when asked."""
    script = [("[q]uit?", b"q")] if words[0] == "resolve" else []
    with open(os.devnull, "w") as quiet, person(monkeypatch, *script, width=width) as somebody:
        monkeypatch.setattr(sys, "stderr", quiet)
        with pytest.raises(SystemExit):
            cli.cli([words[0], "--store", str(root.parent / "store"), *words[1:]])
    return somebody.seen.replace("\r\n", "\n")


LISTS = ("report", "plan --no-merge", "resolve -o x")
COMMANDS = (*LISTS, "history", "runs", "quarantine", "info", "info --settings")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("colour", ["xterm", "dumb", "NO_COLOR"])
def test_each_list_fits_the_terminal(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, width: int, colour: str
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb" if colour == "dumb" else "xterm")
    monkeypatch.setenv("NO_COLOR", "1" if colour == "NO_COLOR" else "")
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        told = shown(monkeypatch, made, width, *command.split())
        bare = re.sub(r"\x1b\[[\d;]*m", "", told)
        assert "\x1b" not in bare
        long = [line for line in bare.split("\n") if width_of(line) > width]
        assert long == [], command
        if command in LISTS:
            assert ("\x1b[1" in told) == (colour == "xterm"), command
            assert NAME.replace(" ", "") in "".join(bare.split())
            assert "[bold]a.wav" in bare
            whole = run(made, *command.split(), typed="q\n").stdout
            assert set(bare.replace("/", " ").split()) - set(whole.replace("/", " ").split()) <= {"quit"}, command
