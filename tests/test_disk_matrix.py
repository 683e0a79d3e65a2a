"""Every command with a disk that refuses: full, over quota, read-only, failing, not yours to write to. Each says so in
one line that names the place, ends with 14, loses nothing, and does its work when it is run again.

The library in front of libc refuses one call and all after it, in each folder that a command writes to: one in the
middle with each kind of refusal, the first and the last with one kind in turn; the short form tries the middle one with
that kind, for every other command. If only calls are refused by which a command tidies up, its result is there, and it
ends as if nothing was refused."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from scripts.torture import faults as fault_test
from scripts.torture.fault_injection import Ended, Fault, Host

WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota",
    errno.EROFS: "read-only",
    errno.EIO: "I/O error",
    errno.EACCES: "permission denied",
}
"""How each refusal is called, by its error number."""
WRITE_ERROR, SOME_FAILED = 14, 3
FULL = ("full", "{music}", "--workers", "0", "--block-size", "2", "--min-length", "4", "--store", "{store}")


@dataclass(frozen=True)
class Case:
    """A command, the state it begins with, and the folder whose writes are refused."""

    command: tuple[str, ...]
    folder: str = "{store}"
    state: str = "full"
    """State from which it begins: "new", "scanned", "compared", "full", "planned", "applied", "rotten"."""
    code: int = 0
    """Exit code when nothing is refused."""
    said: str = ""
    """What a person answers."""
    needless: str = ""
    """Pattern of further calls without which the command does its work all the same."""
    must_sync: bool = False
    """Whether the folder has to be synced before the command may say that it wrote a file there."""

    @property
    def name(self) -> str:
        words = [word for word in self.command if not word.startswith(("{", "-", "/"))]
        options = [
            word
            for word in self.command
            if word in ("-o", "--repair", "--plot", "--install", "--check", "--html", "--save")
        ]
        return " ".join((*words[:3], *options, "to", self.folder.strip("{}")))


STORE = ("--store", "{store}")
QUICK = ("--workers", "0", "--min-length", "4")
CASES = (
    Case(("scan", "{music}", *QUICK, *STORE), state="new", code=SOME_FAILED),
    Case(FULL, state="new", code=SOME_FAILED),
    Case(("correlate", "--workers", "0", *STORE), state="scanned"),
    *(Case(("report", "--format", form, *STORE), "{stdout}") for form in ("table", "json", "jsonl", "csv", "html")),
    Case(
        ("plan", "--workers", "0", *STORE),
        state="compared",
        needless=r"\w+ /(wip-)?plan-key.*|open /catalog.db-(wal|shm)",
    ),
    Case(("plan", "--workers", "0", *STORE), "{stdout}"),
    Case(("plan", "--workers", "0", "-o", "{out}/plan.json", *STORE), "{out}", must_sync=True),
    Case(("resolve", "-o", "{out}/resolved.json", "--workers", "0", *STORE), "{out}", said="\n\n\n\n", must_sync=True),
    Case(("apply", "{out}/plan.json", *STORE), state="planned"),
    Case(("apply", "{out}/plan.json", *STORE), "{music}", state="planned"),
    Case(("undo", *STORE), state="applied"),
    Case(("undo", *STORE), "{music}", state="applied"),
    Case(("tag", "--audio-hash", "--yes", "{music}/0.mp3", *STORE)),
    Case(("tag", "--audio-hash", "--yes", "{music}/0.mp3", *STORE), "{music}"),
    Case(("cover", "{music}/0.mp3", "--from", "{out}/picture.png", "--yes", *STORE), "{music}"),
    Case(("cover", "{music}/0.mp3", "--from", "{out}/picture.png", "--save", "{out}/cover.jpg", *STORE), "{out}"),
    Case(("organize", "--template", "sorted/$format", "--yes", *STORE)),
    Case(("organize", "--template", "sorted/$format", "--yes", *STORE), "{music}"),
    Case(("mark", "--different", "{music}/0.mp3", "{music}/1.mp3", *STORE)),
    Case(("import", "{out}/lines.jsonl", "--min-length", "4", *STORE)),
    *(Case(("export", what, *STORE), "{stdout}") for what in ("tracks", "pairs", "groups")),
    Case(("check", *STORE), "{stdout}"),
    Case(("check", "--repair", *STORE), state="rotten"),
    Case(("compact", *STORE), state="gone"),
    Case(("pair", "{music}/0.mp3", "{music}/1.mp3", "--plot", "{out}/plot.png", *STORE), "{out}"),
    Case(("pair", "{music}/0.mp3", "{music}/1.mp3", "--plot", "{out}/plot.svg", *STORE), "{out}"),
    Case(("pair", "{music}/0.mp3", "{music}/1.mp3", *STORE), "{stdout}"),
    Case(("demo", "--out", "{out}/demo", "--workers", "0"), "{out}"),
    Case(("demo", "--workers", "0"), "{temporary}"),
    Case(("cluster", "keys", "{out}/keys", "here", "there"), "{out}"),
    Case(("schedule", "{music}", "--format", "systemd", "--install"), "{home}"),
    Case(("schedule", "{music}", "--format", "cron"), "{stdout}"),
    *(Case((what, *STORE), "{stdout}") for what in ("info", "runs", "history")),
    Case(("info", "{music}/0.mp3", *STORE), "{stdout}"),
)


Results = tuple[dict[str, bytes], bytes]


class Place:
    """Folders of a trial, always at the same paths, and the states that a trial can begin with."""

    def __init__(self, work: Path) -> None:
        self.now, self.kept = work / "now", work / "kept"
        self.host = Host(
            HOME=str(self.now / "home"), XDG_CONFIG_HOME=str(self.now / "home"), TMPDIR=str(self.now / "temporary")
        )
        self.paths = {name: str(self.now / name) for name in ("music", "store", "out", "home", "temporary")}
        self.paths["stdout"] = str(self.host.stdout)

    def filled(self, text: str) -> str:
        for name, path in self.paths.items():
            text = text.replace(f"{{{name}}}", path)
        return text

    def run(self, command: tuple[str, ...], said: str = "", fault: Fault | None = None) -> Ended:
        return self.host.run(*map(self.filled, command), said=said, fault=fault)

    def keep(self, state: str) -> None:
        shutil.copytree(self.now, self.kept / state)

    def begin(self, state: str) -> None:
        shutil.rmtree(self.now, ignore_errors=True)
        shutil.copytree(self.kept / state, self.now)

    def make_states(self) -> None:
        for name in ("out", "home", "temporary"):
            (self.now / name).mkdir(parents=True)
        fault_test.make_music(self.now / "music", n_songs=2)
        shutil.copy(self.now / "music" / "0.mp3", self.now / "music" / "copy.mp3")
        (self.now / "music" / "list.m3u").write_text("copy.mp3\n")
        Image.effect_noise((200, 200), 50).save(self.now / "out" / "picture.png")
        self.keep("new")

        def ran(*command: str, code: int = 0) -> None:
            ended = self.run(command)
            assert ended.code == code, (command, ended.err)

        ran("scan", "{music}", *QUICK, "--block-size", "2", *STORE, code=SOME_FAILED)
        self.keep("scanned")
        ran("correlate", "--workers", "0", *STORE)
        self.keep("compared")
        self.begin("new")
        ran(*FULL, code=SOME_FAILED)
        lines = [self.run(("export", "tracks", *STORE)).out]
        assert lines
        items = list(range(1, 400))
        line = {"path": "/elsewhere/a.mp3", "duration": 49.0, "fingerprint": items}
        (self.now / "out" / "lines.jsonl").write_text(json.dumps(line) + "\n")
        self.keep("full")
        ran("plan", "--workers", "0", "-o", "{out}/plan.json", *STORE)
        self.keep("planned")
        ran("apply", "{out}/plan.json", *STORE)
        self.keep("applied")
        self.begin("full")
        rotten = max(
            (path for path in fault_test.files_of_blocks(self.now / "store") if path.name != "zarr.json"), key=str
        )
        rotten.write_bytes(bytes(byte ^ 0x55 for byte in rotten.read_bytes()))
        self.keep("rotten")
        self.begin("full")
        (self.now / "music" / "0.ogg").unlink()
        for _ in range(8):
            self.run(FULL)
        self.keep("gone")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("matrix"))
    if place.host.library is None:
        pytest.skip("no compiler here to make the library that refuses writes")
    with place.host:
        place.make_states()
        yield place


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def complaints(ended: Ended) -> list[str]:
    return [line for line in ended.err.splitlines() if line.startswith("reprise: ")]


def what_is_wrong(ended: Ended, error: int, folder: str) -> list[str]:
    """What a command that was refused did not say or did wrong."""
    lines = complaints(ended)
    if ended.code == SOME_FAILED and folder.endswith("/music"):  # each file that was refused is listed
        told = ended.err + ended.out.decode()
        is_told = WORDS[error] in told and folder in told and "Traceback" not in told
        return [] if is_told else [f"does not list {WORDS[error]!r} with its place: {told}"]
    wrong = [] if ended.code == WRITE_ERROR else [f"exit code {ended.code} instead of {WRITE_ERROR}"]
    if "Traceback" in ended.err or "bug" in ended.err:
        wrong.append("a traceback or a bug")
    if len(lines) != 1:
        wrong.append(f"{len(lines)} lines")
    told = " ".join(lines)
    if WORDS[error] not in told:
        wrong.append(f"does not say {WORDS[error]!r}")
    if ("stdout" if folder.endswith("/out") and "faults-" in folder else folder) not in told:
        wrong.append("does not name the place")
    if "again" not in told and "--resume" not in told:
        wrong.append("does not say what to do")
    return [f"{', '.join(wrong)}: {ended.err.strip()[-1200:]!r}"] if wrong else []


NEEDLESS = r"\w+ .*(reprise\.log|/lock)"
"""Calls without which any command does its work all the same."""
TIDYING = re.compile(r"unlink /.*-(wal|shm)|(write|fsync|truncate) /.*catalog\.db|fsync ")
"""Calls by which a command tidies up once all is done, if nothing but such calls follows. SQLite moves what is on the
disk in its log into the catalog and removes the log: if it cannot, the next run reads the log. A folder that is not
synced loses what was moved there only by a power cut, and the journal knows of it."""
UNRECORDED = "reprise: `reprise runs` cannot say how this run ended"
"""What a command says that did all its work, and then could not write down that it did."""


def try_case(place: Place, case: Case, errors: list[int], places: list[float]) -> list[str]:
    folder, wrong = place.filled(case.folder), []
    for error in errors:
        place.begin(case.state)
        sound = place.run(case.command, case.said, Fault(folder, how=error))  # what counts as a call depends on it
        if sound.code != case.code:
            return [f"undisturbed: exit code {sound.code}: {sound.err}"]
        after = results(place)
        at, tidying = calls_of(case, sound.sites)
        if not at:
            return [f"writes nothing to {case.folder}"]
        numbers = [at[round(share * (len(at) - 1))] for share in places]
        wrong += [text for first in numbers for text in try_refusal(place, case, error, first, after)]
        if tidying and len(places) > 1:
            wrong += try_tidying(place, case, error, tidying, after)
    return wrong


def try_tidying(place: Place, case: Case, error: int, first: int, after: Results) -> list[str]:
    """Refuses only calls by which a command tidies up."""
    place.begin(case.state)
    refused = place.run(case.command, case.said, Fault(place.filled(case.folder), first, how=error))
    is_well = refused.code == case.code and not complaints(refused) and results(place) == after
    return [] if is_well else [f"{case.name}, {errno.errorcode[error]} as it tidies up: {refused.code} {refused.err}"]


def try_refusal(place: Place, case: Case, error: int, first: int, after: Results) -> list[str]:
    """Refuses a call and all after it, and runs the command again."""
    place.begin(case.state)
    folder = place.filled(case.folder)
    refused = place.run(case.command, case.said, Fault(folder, first, how=error))
    what = f"{case.name}, {errno.errorcode[error]} at {first} ({refused.sites[first - 1]})"
    if refused.code == case.code and UNRECORDED in refused.err:
        is_told = len(complaints(refused)) == 1 and WORDS[error] in refused.err and folder in refused.err
        return [] if is_told and results(place) == after else [f"{what}: {refused.err}"]
    wrong = [f"{what}: {text}" for text in what_is_wrong(refused, error, folder)]
    if refused.code == SOME_FAILED and case.command[0] == "apply":
        place.run(("undo", *STORE))
    unfinished = unfinished_by(refused)
    again = place.run((unfinished, "--resume", *STORE)) if unfinished else place.run(case.command, case.said)
    if again.code not in (case.code, 5) and "nothing" not in again.err:
        wrong.append(f"{what}: {refused.err[-300:]!r}, again: {again.code} {again.err[-400:]}")
    now = results(place)
    if now != after:
        changed = sorted(name for name in now[0].keys() | after[0].keys() if now[0].get(name) != after[0].get(name))
        wrong.append(f"{what}: again: other files {changed}" if changed else f"{what}: again: other pairs")
    return wrong


def results(place: Place) -> Results:
    """The library's files, and the pairs that the store has."""
    return files_of(place.now / "music"), place.run(("export", "pairs", *STORE)).out


def calls_of(case: Case, sites: tuple[str, ...]) -> tuple[list[int], int]:
    """The numbers of the calls without which a command cannot do its work, and that of the first one of those after
    them by which it only tidies up; 0 if there is none."""
    needless = re.compile(f"{NEEDLESS}|{case.needless}" if case.needless else NEEDLESS)
    n_needed = len(sites)
    while (
        n_needed
        and not (case.must_sync and sites[n_needed - 1] == "fsync ")
        and (TIDYING.fullmatch(sites[n_needed - 1]) or needless.fullmatch(sites[n_needed - 1]))
    ):
        n_needed -= 1
    if n_needed < len(sites) and re.fullmatch("write .*catalog.db", sites[n_needed]):
        n_needed -= 1  # the log is synced once more before it is moved
    at = [number for number, site in enumerate(sites[:n_needed], 1) if not needless.fullmatch(site)]
    return at, n_needed + 1 if n_needed < len(sites) else 0


def unfinished_by(ended: Ended) -> str:
    """The command by which a clean-up has to go on, as it says; empty if none has to."""
    return next((command for command in ("apply", "organize") if f"{command} --resume" in ended.err), "")


def named(case: Case) -> str:
    return case.name


LIKE_OTHERS = ("json", "jsonl", "html", "tracks", "groups", "runs", "history", "{out}/plot.svg")
SHORT = [case for case in CASES if case.command[0] != "demo" and not set(LIKE_OTHERS) & set(case.command)]
"""Cases that take a second each, and of those that go the same way one; a demo takes twenty."""


@pytest.mark.parametrize("case", SHORT[::2], ids=named)
def test_a_refusal_is_said_as_such(place: Place, case: Case) -> None:
    wrong = try_case(place, case, [one_error(case)], [0.5])
    assert not wrong, "\n".join(wrong)


def one_error(case: Case) -> int:
    """The error number whose turn it is."""
    return list(WORDS)[CASES.index(case) % len(WORDS)]


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_refusal_is_said_as_such(place: Place, case: Case) -> None:
    error, is_quick = one_error(case), case.command[0] != "demo"
    wrong = try_case(place, case, [error], [0.0, 0.5, 1.0] if is_quick else [0.5])
    if is_quick:
        wrong += try_case(place, case, [other for other in WORDS if other != error], [0.5])
    assert not wrong, "\n".join(wrong)
