"""The texts that make a system run a command: read back, the command is the same, or it was refused."""

from __future__ import annotations

import configparser
import plistlib
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.errors import UsageError
from jobs.show import units

PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
ODD = ["/usr/bin/reprise", "full", "--", '/m/My %h "Mu$ic" it\'s', "$HOME ${X} %% ;", "é 日", "#", ""]


def read_systemd(line: str) -> list[str]:
    """The words of an ExecStart, by systemd's rules for what stands in double quotes."""
    text = line.replace("%%", "%")
    assert "%" not in text.replace("%", "", line.count("%%")), "a specifier"
    words, at = [], 0
    while at < len(text):
        assert text[at] == '"'
        at, word = at + 1, ""
        while text[at] != '"':
            at += text[at] == "\\"
            word, at = word + text[at], at + 1
        words.append(word)
        assert text[at + 1 : at + 2] in ("", " ")
        at += 2
    return words


def exec_start(service: str) -> str:
    parser = configparser.RawConfigParser(strict=True, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(service)
    assert parser["Service"]["SuccessExitStatus"] == "3 4 5"
    assert (parser["Service"]["Nice"], parser["Service"]["IOSchedulingClass"]) == ("19", "idle")
    command = parser["Service"]["ExecStart"]
    assert command[0] == ":", "no variables"
    return command[1:]


@given(st.lists(PLAIN, max_size=4))
def test_systemd_reads_the_same_words(words: list[str]) -> None:
    assert read_systemd(exec_start(units.service_text(["/bin/x", *words]))) == ["/bin/x", *words]


@given(st.lists(PLAIN.filter(lambda word: "\\" not in word), max_size=4))
def test_a_shell_reads_the_same_words_of_a_crontab(words: list[str]) -> None:
    line = units.cron_line(["/bin/x", *words], "06:05")
    fields, command = line.split(" ", 5)[:5], line.split(" ", 5)[5]
    assert fields == ["5", "6", "*", "*", "*"]
    assert command.count("%") == command.count("\\%"), "cron takes a bare one for a newline"
    found = shlex.split(command.replace("\\%", "%"), comments=False)
    assert found[: 4 + len(words)] == ["nice", "-n", "19", "/bin/x", *words]
    assert found[4 + len(words) :] == [">/dev/null", *units.CRON_MARK.split()]


@given(st.lists(PLAIN, max_size=4))
def test_launchd_reads_the_same_words(words: list[str]) -> None:
    agent = plistlib.loads(units.plist_text(["/bin/x", *words], "02:30").encode())
    assert agent["ProgramArguments"] == ["/bin/x", *words]
    assert agent["StartCalendarInterval"] == {"Hour": 2, "Minute": 30}


@pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")
def test_a_real_shell_runs_the_words_of_a_crontab(tmp_path: Path) -> None:
    words = ["sh", "-c", 'printf "%s\\n" "$@" > out'.replace("\\n", "|"), "sh", *ODD]
    command = units.cron_line(words, "02:30", nice=()).split(" ", 5)[5]
    subprocess.run(["sh", "-c", command.replace("\\%", "%")], cwd=tmp_path, check=True, timeout=20)
    assert (tmp_path / "out").read_text() == "".join(f"{word}|" for word in ODD)


def test_the_timer_makes_up_for_a_night_that_was_missed() -> None:
    text = units.timer_text("02:30")
    assert "OnCalendar=*-*-* 02:30:00\n" in text
    assert "Persistent=true\n" in text


@pytest.mark.parametrize("word", ["a\nb", "a\x1bb", "a\x7f", "\udcff"])
def test_what_no_unit_can_hold_is_refused(word: str) -> None:
    for make in (units.service_text, lambda w: units.cron_line(w, "02:30"), lambda w: units.plist_text(w, "02:30")):
        with pytest.raises(UsageError, match=r"cannot be written in a .*Make a link to it") as raised:
            make(["/bin/x", word])
        assert raised.value.args[0].isprintable()


def test_what_one_of_them_cannot_hold_is_refused_by_that_one() -> None:
    with pytest.raises(UsageError, match=r"cannot be written in a crontab: it has a backslash\. Make a link"):
        units.cron_line(["/bin/x", "a\\b"], "02:30")
    with pytest.raises(UsageError, match="has quotes or a backslash"):
        units.service_text(['/bin/x"', "a"])
    with pytest.raises(UsageError, match=r"a crontab holds at most 900\. Put the folders and options into"):
        units.cron_line(["/bin/x", "é" * 450], "02:30")


LINE = f"1 2 * * * x {units.CRON_MARK}".encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", LINE + b"\n"),
        (b"# mine\n0 0 * * * y\n", b"# mine\n0 0 * * * y\n" + LINE + b"\n"),
        (b"no newline", b"no newline\n" + LINE + b"\n"),
        (b"a\n" + LINE.replace(b"x", b"old") + b"\n\xff\n", b"a\n" + LINE + b"\n\xff\n"),
        (b"#" + LINE + b"\n", b"#" + LINE + b"\n" + LINE + b"\n"),  # switched off by a person
    ],
)
def test_a_crontab_has_one_line_of_ours_and_all_others_as_they_were(before: bytes, after: bytes) -> None:
    assert units.with_cron_line(before, LINE) == after
    assert units.with_cron_line(after, LINE) == after
    assert units.with_cron_line(after, None) == after.replace(b"\n" + LINE + b"\n", b"\n").removeprefix(LINE + b"\n")
