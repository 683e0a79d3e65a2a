"""A review of pairs: what is shown, what each answer does, and that nothing that was answered is lost."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dedup.correlation.correlate import correlate
from dedup.groups.judgements import Judgements, content, record
from dedup.groups.mark import Asked
from dedup.groups.matches import Matches, TrackPair
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.store import Store
from jobs.session.lines import PLAIN, Look
from jobs.session.output import Output
from jobs.show.ask import ask, pair_lines
from tests.stores import add_audio, add_track, open_store, recording

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Four tracks of one sound, in three different encodings."""
    with open_store(tmp_path / "store") as opened:
        tags = {"title": ("Broken River",), "artist": ("Harbour Lights",)}
        best = {"codec": "flac", "bitrate": 789_000, "sample_rate": 44100, "bits": 16, "channels": 2, "tags": tags}
        mp3 = {"codec": "mp3", "bitrate": 64_000, "sample_rate": 44100, "channels": 2, "duration_s": 63.4}
        audios = [add_audio(opened, recording(1, 200), stream=bytes([n]) * 16) for n in range(3)]
        add_track(opened, "a.flac", audios[0], size=6_250_000, duration_s=63.4, **best)
        add_track(opened, "b.mp3", audios[1], size=507_000, **mp3, tags={**tags, "title": ("\x1b[31mRiver" * 9,)})
        add_track(opened, "c.mp3", audios[2], size=507_000, **mp3)
        add_track(opened, "copy of c.mp3", audios[2], size=507_000, **mp3, state="absent")
        correlate(opened, CompareSettings(varispeed=False), InlineRunner(), Silent())
        yield opened


@pytest.fixture
def pairs(store: Store) -> list[TrackPair]:
    """a-b, a-c, a-copy, b-c, b-copy, c-copy."""
    return list(Matches(store, MatchSettings()).pairs())


Answering = Callable[[bytes], None]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Puts lines on stdin."""

    def put(lines: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))

    return put


def names(pairs: list[TrackPair]) -> list[tuple[str, str]]:
    return [(pair.a.path.decode()[7:], pair.b.path.decode()[7:]) for pair in pairs]


# ---- what is shown ----


def test_both_files_stand_side_by_side_marked_and_bold_where_they_differ(pairs: list[TrackPair]) -> None:
    head, over_time, path_a, path_b, *lines = pair_lines(pairs[0], Look(80, wraps=True, has_colour=True))
    assert head == f"{pairs[0].verdict}: score {pairs[0].match.score:.3f}, agreement 1.000, lag +0.00 s"
    assert over_time.startswith(f"over time {7 * '█'} ")
    assert [re.sub(r"\x1b\[\d+m", "", path).split() for path in (path_a, path_b)] == [
        ["a", "/music/a.flac"],
        ["b", "/music/b.mp3"],
    ]
    plain = {line for line in lines if not line.startswith("\x1b[1m")}
    bold = [line.removeprefix("\x1b[1m").removesuffix("\x1b[0m") for line in lines if line not in plain]
    assert [re.split(r"\s{2,}", line.strip()) for line in sorted(plain)] == [
        ["artist", "Harbour Lights", "Harbour Lights"],
        ["channels", "2", "2"],
        ["length", "1 min 03 s", "1 min 03 s"],
        ["sample rate", "44100 Hz", "44100 Hz"],
    ]
    marked = [" ".join(line.split()) for line in bold]
    assert marked[:4] == ["≠ format flac mp3", "≠ bit rate 789 kbit/s 64 kbit/s", "≠ bits 16", "≠ size 6.25 MB 507 kB"]
    whole = "".join(line[1:].replace("title", "").replace("Broken River", "").strip() for line in bold[4:])
    assert whole == r"\x1b[31mRiver" * 9, "nothing of a tag is left out"


def test_what_nobody_knows_has_no_line_and_an_absent_file_says_so(pairs: list[TrackPair]) -> None:
    text = "\n".join(pair_lines(pairs[-1], PLAIN))
    assert names(pairs)[-1] == ("c.mp3", "copy of c.mp3")
    assert "title" not in text
    assert "album" not in text
    assert re.search(r"state +absent", text)


# ---- answers, one a line ----


def test_every_answer_is_recorded_before_the_next_pair_is_shown(
    pairs: list[TrackPair], answer: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[int] = []
    given: list[tuple[str, str, bool]] = []

    def keep(pair: TrackPair, same: bool) -> None:
        given.append((*names([pair])[0], same))
        shown.append(capsys.readouterr().out.count("pair "))

    answer(b"s\nD \nk\nSKIP\ndifferent\nq\n")
    assert ask(Output(), pairs, keep) == Asked(same=1, different=2, skipped=2, left=1)
    assert given == [("a.flac", "b.mp3", True), ("a.flac", "c.mp3", False), ("b.mp3", "copy of c.mp3", False)]
    assert shown == [1, 1, 3]


def test_what_is_no_answer_is_asked_again(
    pairs: list[TrackPair], answer: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(b"\nyes\n\xff\xfe\ns\n")
    given: list[bool] = []
    assert ask(Output(), pairs[:1], lambda _, same: given.append(same)) == Asked(same=1)
    assert given == [True]
    out = capsys.readouterr().out
    assert out.count("[q]uit?") == 4
    assert out.count("that is not an answer; ? explains the keys") == 3


def test_the_keys_are_explained_and_an_answer_is_taken_back(
    pairs: list[TrackPair], answer: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    """Property: what is counted is what holds at the end."""
    held: list[tuple[str, str]] = []

    def keep(pair: TrackPair, same: bool) -> Callable[[], object]:
        said = (names([pair])[0][1], "same" if same else "different")
        held.append(said)
        return lambda: held.remove(said)

    answer(b"u\n?\ns\ns\nu\nd\nk\nu\nu\nq\n")
    assert ask(Output(), pairs, keep) == Asked(same=1, left=5)
    assert held == [("b.mp3", "same")]
    out = capsys.readouterr().out
    assert "there is nothing to take back" in out
    assert "\nd  they are different recordings, for good\n" in out
    shown = [line for line in out.splitlines() if line.startswith("pair ")]
    assert [line.split()[1] for line in shown] == ["1", "2", "3", "2", "3", "4", "3", "2"]


def test_the_end_of_stdin_quits(pairs: list[TrackPair], answer: Answering) -> None:
    answer(b"s\nd")
    assert ask(Output(), pairs, lambda *_: None) == Asked(same=1, different=1, left=4)
    answer(b"")
    assert ask(Output(), pairs, lambda *_: None) == Asked(left=6)
    assert ask(Output(), [], lambda *_: None) == Asked()


def test_with_json_stdout_is_left_alone(
    pairs: list[TrackPair], answer: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(b"s\n")
    ask(Output(as_json=True), pairs[:1], lambda *_: None)
    told = capsys.readouterr()
    assert told.out == ""
    assert "pair 1 of 1" in told.err


def test_a_review_is_gone_on_with_where_it_was_broken_off(
    store: Store, pairs: list[TrackPair], answer: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    """Property: answers are in the store at once; one content is never called different from itself, and that answer
    is asked for again."""

    def keep(pair: TrackPair, same: bool) -> None:
        a, b = (content(track.stream, track.digest) for track in (pair.a, pair.b))
        record(store, a, b, same, pair.match.score, where="the pair")

    answer(b"d\ns\n")
    assert ask(Output(), pairs, keep) == Asked(same=1, different=1, left=4)
    said = Judgements(store)
    left = [pair for pair in pairs if said.of(pair.a, pair.b) is None]
    assert names(left) == [("b.mp3", "c.mp3"), ("b.mp3", "copy of c.mp3"), ("c.mp3", "copy of c.mp3")]
    answer(b"d\nd\nd\ns\n")
    assert ask(Output(), left, keep) == Asked(same=1, different=2)
    assert "the pair: both hold exactly the same audio" in capsys.readouterr().out
    assert sorted(Judgements(store).said.values()) == [False, False, True, True]


def test_other_errors_pass(pairs: list[TrackPair], answer: Answering) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    answer(b"s\n")
    with pytest.raises(ZeroDivisionError):
        ask(Output(), pairs, fail)


# ---- answers, one a key ----

ON_A_TERMINAL = """
    from jobs.show.ask import ask
    from jobs.session.output import Output
    from tests.made_tracks import pair, track
    asked = pair(track("/a"), track("/b"))
    print("kept", ask(Output(), [asked] * 4, lambda _, same: print("recorded", same, flush=True)))
"""


@pytest.mark.parametrize("last", [b"\x03", b"\x04", b"q"], ids=["Ctrl-C", "Ctrl-D", "q"])
def test_on_a_terminal_an_answer_is_a_key_and_ctrl_c_is_quit(last: bytes) -> None:
    """Property: neither leaves a traceback, and what was answered stays."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", textwrap.dedent(ON_A_TERMINAL)]
    with subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        text = b""
        for key in (b"s", b"x", b"D", last):
            n_asked = text.count(b"[q]uit?")
            while text.count(b"[q]uit?") == n_asked:
                piece = _read(ours)
                assert piece, text
                text += piece
            while termios.tcgetattr(ours)[3] & termios.ICANON:  # what is typed before keys count is thrown away
                time.sleep(0.01)
            os.write(ours, key)
        while piece := _read(ours):
            text += piece
    os.close(ours)
    assert child.returncode == 0
    assert [line for line in text.decode().splitlines() if line.startswith(("recorded", "kept"))] == [
        "recorded True",
        "recorded False",
        "kept Asked(same=1, different=1, skipped=0, left=2)",
    ]
    assert b"Traceback" not in text
    assert b"a   /a" in re.sub(rb"\x1b\[[\d;]*m", b"", text)


def _read(terminal: int) -> bytes:
    """What comes next; empty when nobody is left to write."""
    assert select.select([terminal], [], [], 60)[0], "nothing comes"
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says EIO where others say the end
        return b""
