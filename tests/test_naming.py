"""`reprise name`: what a person says about questions of look-ups, what is decided by it, and that it stays."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_USAGE
from dedup.lookup.decide import Identified
from dedup.lookup.known import Known, known
from dedup.lookup.said import is_none, is_one, say, unsay
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.store.layout import Layout, write_lock
from dedup.store.store import open_for_reading, open_for_writing
from dedup.upkeep.check import check
from dedup.upkeep.compact import compact
from dedup.upkeep.salvage import mend_catalog
from jobs import cli
from tests.looking_up import Clock, run
from tests.lookup_service import Services, mbid, served
from tests.made_albums import Piece, add_file, make_doubtful_library, make_pieces, named, publish, sound
from tests.stores import open_store
from tests.terminal import person

PIECES = make_pieces(2, 10)
DOUBTFUL = b"/music/here/05.flac"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of an album that was looked up; one of its files is a question, and another one is that sound, too."""
    folder, clock = tmp_path_factory.mktemp("made"), Clock()
    with served(Services(now=clock.now)) as services, open_store(folder / "store", block_size=8) as store:
        publish(services, PIECES)
        own = PIECES[:10]
        for piece in own:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"here/{piece.number:02}.flac")
        services.sounds[own[4].text] = [doubtful(own[4], PIECES[15])]
        add_file(store, own[4], "there/x.flac", title="Something Else Entirely")
        run(store, services, clock)
    return folder / "store"


def doubtful(piece: Piece, other: Piece) -> dict[str, object]:
    """Most people take a sound for another song of the same length."""
    return sound(piece, 0.95, 10, named(other, 90) | {"duration": round(piece.length_s)})


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def found(folder: Path) -> dict[bytes, Identified]:
    with open_for_reading(folder) as store:
        return {each.file.path: each for each in chain.from_iterable(known(store, []))}


def questions(folder: Path) -> list[bytes]:
    return [path for path, each in found(folder).items() if each.verdict == "question"]


def candidate(folder: Path, piece: Piece) -> int:
    """The number of a candidate of the question."""
    songs = found(folder)[DOUBTFUL].candidates
    return next(at for at, song in enumerate(songs, start=1) if song.recordings[0].id == piece.recording)


def name(folder: Path, *arguments: str, typed: str = "") -> Result:
    environment = {"COLUMNS": "100"}
    return CliRunner().invoke(cli.cli, ["name", "--store", str(folder), *arguments], input=typed, env=environment)


def sound_findings(folder: Path) -> list[str]:
    with open_for_reading(folder) as store:
        return [finding.text for finding in check(store, Silent())]


# ---- what is decided ----


def test_there_are_questions(folder: Path) -> None:
    assert questions(folder) == [DOUBTFUL, b"/music/there/x.flac"]


def test_a_file_is_what_a_person_says_and_so_is_every_file_with_that_sound(folder: Path) -> None:
    each = found(folder)[DOUBTFUL]
    own, other = PIECES[4], PIECES[15]
    song = each.candidates[candidate(folder, own) - 1]
    (kept,) = say(folder, [(each.file.subject, is_one(song))], "test")
    assert (kept.before, kept.waits) == (None, False)
    now = found(folder)
    assert questions(folder) == []
    here, there = now[DOUBTFUL], now[b"/music/there/x.flac"]
    assert here.why == there.why == "as you said"
    assert here.recording is not None and here.recording.id == own.recording
    assert here.track is not None and (here.track.number, here.track.title) == (5, own.title)
    assert there.recording is not None and there.recording.id == own.recording

    other_song = each.candidates[candidate(folder, other) - 1]
    (changed,) = say(folder, [(each.file.subject, is_one(other_song))], "test")
    assert changed.before is not None and changed.before.title == own.title
    here = found(folder)[DOUBTFUL]
    assert (here.verdict, here.release) == ("identified", None), "it is not on the release of the files beside it"
    assert here.recording is not None and here.recording.id == other.recording
    assert unsay(folder, changed, "test") and unsay(folder, kept, "test")
    assert len(questions(folder)) == 2
    assert sound_findings(folder) == []


def test_none_of_these_stays_so_until_another_one_is_known(folder: Path, services: Services, clock: Clock) -> None:
    each = found(folder)[DOUBTFUL]
    say(folder, [(each.file.subject, is_none(each.file))], "test")
    now = found(folder)[DOUBTFUL]
    assert (now.verdict, now.why) == ("unknown", "you said that it is none of what AcoustID knows")
    assert now.candidates == each.candidates, "it can still be changed"
    new = PIECES[16]
    both = sound(PIECES[4], 0.95, 10, named(PIECES[15], 90) | {"duration": round(PIECES[4].length_s)})
    newer = sound(new, 0.97, 40, number=9_999)
    newer["recordings"][0]["duration"] = round(PIECES[4].length_s)
    publish(services, PIECES)
    for piece in PIECES:
        services.sounds[piece.text] = [sound(piece, 0.95, 50)]
    services.sounds[PIECES[4].text] = [both, newer]
    clock.time += 60
    with open_for_writing(folder, "test") as store:
        run(store, services, clock, anew=True)
    asked = found(folder)[DOUBTFUL]
    assert asked.verdict == "question"
    assert asked.song is not None and asked.song.recordings[0].id == new.recording, "the others are still refused"


def test_true_answers_make_no_other_title_wrong(tmp_path: Path, services: Services, clock: Clock) -> None:
    """A quarter of what AcoustID says is wrong; a person who knows all titles answers every question."""
    pieces = make_pieces(6, 8, seed=5)
    with open_store(tmp_path / "store", block_size=256) as store:
        with store.catalog.gathered():
            truth = make_doubtful_library(store, services, pieces, seed=5).truth
        before = run(store, services, clock).files
    open_before = [each for each in before if each.verdict == "question"]
    assert len(open_before) > 5
    for each in open_before:
        song = next((s for s in each.candidates if s.title == truth[each.file.path].title), None)
        said = is_none(each.file) if song is None else is_one(song)
        say(tmp_path / "store", [(each.file.subject, said)], "test")
    for each in found(tmp_path / "store").values():
        assert each.verdict != "unasked", "what was known stays so"
        if each.verdict == "identified":
            assert each.recording is not None
            assert each.recording.title == truth[each.file.path].title, each.why
            assert each.track is None or each.track.title == truth[each.file.path].title
    with open_for_writing(tmp_path / "store", "test") as store:
        after = run(store, services, clock).files
    named = {each.file.path: each.song.title for each in after if each.verdict == "identified" and each.song}
    assert named == {path: truth[path].title for path in named}
    n_before = sum(each.verdict == "identified" for each in before)
    assert len(named) > n_before


# ---- that it stays ----


def said_in(folder: Path) -> list[tuple[str, str]]:
    with open_for_reading(folder) as store:
        return [(each.subject, each.answer["title"]) for each in store.catalog.namings.all() if each.answer]


def test_what_was_said_outlives_tracks_compaction_and_a_damaged_catalog(folder: Path) -> None:
    each = found(folder)[DOUBTFUL]
    say(folder, [(each.file.subject, is_one(each.candidates[0]))], "test")
    kept = [(each.file.subject, each.candidates[0].title)]
    with open_for_writing(folder, "test") as store:
        store.catalog.tracks.forget([DOUBTFUL, b"/music/there/x.flac"])
        compact(store, Silent(), Stop())
    assert said_in(folder) == kept
    with open_for_writing(folder, "test") as store:
        add_file(store, PIECES[4], "elsewhere/new name.flac")
    assert found(folder)[b"/music/elsewhere/new name.flac"].why == "as you said"
    with open(folder / "catalog.db", "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 64)
    assert mend_catalog(folder, "test")["naming"] == 1
    assert said_in(folder) == kept


def test_beside_a_run_it_counts_at_once_and_is_taken_in_when_that_ends(folder: Path) -> None:
    each = found(folder)[DOUBTFUL]
    with write_lock(Layout(folder), "another run"):
        (first,) = say(folder, [(each.file.subject, is_one(each.candidates[0]))], "test")
        assert first.waits
        assert found(folder)[DOUBTFUL].why == "as you said"
        (second,) = say(folder, [(each.file.subject, is_one(each.candidates[1]))], "test")
        assert second.before is not None and second.before.title == each.candidates[0].title
        assert ["2 namings wait" in text for text in sound_findings(folder)] == [True]
        with open_for_reading(folder) as store:
            assert not list(store.catalog.namings.read_rows())
    with open_for_writing(folder, "test"):
        pass
    assert said_in(folder) == [(each.file.subject, each.candidates[1].title)]
    assert Layout(folder).waiting_namings.stat().st_size == 0
    assert os.stat(Layout(folder).waiting_namings).st_mode & 0o777 == 0o600
    with write_lock(Layout(folder), "another run"):
        assert unsay(folder, second, "test")
        assert not unsay(folder, second, "test"), "something else is said now"
        assert found(folder)[DOUBTFUL].song is not None
        say(folder, [(each.file.subject, None)], "test")
        assert len(questions(folder)) == 2
    assert sound_findings(folder) == ["2 namings wait: readers see them, and the next run that writes takes them in"]


def test_what_cannot_be_read_says_nothing(folder: Path) -> None:
    """A program at fault, or an older one, wrote it."""
    subject = found(folder)[DOUBTFUL].file.subject
    waiting = Layout(folder).waiting_namings
    waiting.write_bytes(b'{"subject": 5, "answer": [], "said": 0}\n')
    assert len(questions(folder)) == 2
    with open_for_writing(folder, "test") as store, store.catalog.transaction():
        from dedup.store.namings import Naming

        store.catalog.namings.take(Naming(subject, {"is": "text", "not": 7, "title": None}, "2026-03-01T02:30:00Z"))
    assert len(questions(folder)) == 2
    assert waiting.with_name("waiting-namings.damaged").exists()
    assert ["give these namings again" in text for text in sound_findings(folder)] == [True]


# ---- the command ----


def test_the_command_shows_the_file_with_its_candidates_and_keeps_the_answer(folder: Path) -> None:
    own, number = PIECES[4], candidate(folder, PIECES[4])
    done = name(folder, typed=f"?\n9\n{number}\n")
    assert done.exit_code == EXIT_DONE, done.output
    lines = done.stdout.splitlines()
    assert lines[1] == "2 questions left"
    assert lines[2].startswith("/music/here/05.flac  ")
    assert "  its tags: none" in lines
    assert any(line.startswith("  9 files beside it: ") for line in lines)
    assert any(line.strip().startswith(f"{number}  {own.title} · {own.artist} (0.95, named by 10)") for line in lines)
    assert any(line.strip().startswith("track 5 of ") for line in lines)
    assert "1 to 2, [n]one of these, [s]kip, [?] help, [q]uit?" in lines
    assert "'9' is not an answer: type 1 to 2, or ? for all answers" in lines
    assert f"it is {own.title} · {own.artist}" in lines
    assert lines[-1] == "1 file named", "the other file has the same sound"
    assert questions(folder) == []
    assert name(folder).exit_code == EXIT_NOTHING_TO_DO


def test_answers_can_be_skipped_taken_back_changed_and_forgotten(folder: Path) -> None:
    assert name(folder, "/music/here", typed="s\n").stdout.splitlines()[-1] == "0 files named, 1 skipped"
    done = name(folder, typed="s\nu\nn\nq\n")
    assert len(questions(folder)) == 0, done.output
    assert found(folder)[DOUBTFUL].verdict == "unknown"
    again = name(folder, "--again", "/music/here", typed="1\n")
    assert "[f]orget your answer" in again.stdout
    assert found(folder)[DOUBTFUL].why == "as you said"
    shown = name(folder, "--again", "/music/there", typed="f\n")
    assert "(your answer)" in shown.stdout and "your answer is forgotten" in shown.stdout
    assert len(questions(folder)) == 2
    name(folder, typed="1\n")
    forgotten = name(folder, "--forget", "/music/there")
    assert forgotten.stdout == "forgotten: /music/there/x.flac\n"
    assert len(questions(folder)) == 2
    assert name(folder, "--forget", "/music/there").stdout == "nothing was said about these files\n"
    assert name(folder, "--forget").exit_code == EXIT_USAGE


def test_a_file_of_which_acoustid_knows_nothing_any_more_has_no_numbers_to_type(folder: Path) -> None:
    name(folder, "/music/here", typed="1\n")
    subject = found(folder)[DOUBTFUL].file.subject
    with open_for_writing(folder, "test") as store, store.catalog.transaction():
        store.catalog.lookups.put("acoustid", "2026-03-01T02:30:00Z", [(subject, {})])
    shown = name(folder, "--again", "/music/here", typed="n\n?\nf\n").stdout.splitlines()
    assert "[f]orget your answer, [s]kip, [?] help, [q]uit?" in shown
    assert "'n' is not an answer: type ? for all answers" in shown
    assert not any(line.startswith(("1", "n ")) for line in shown[3:-1])
    assert found(folder)[DOUBTFUL].file.said is None


def test_the_end_of_input_leaves_the_rest(folder: Path) -> None:
    done = name(folder, typed="")
    assert done.stdout.splitlines()[-1] == "0 files named, 2 left: run the same command to go on"


def test_what_is_left_is_counted_folder_by_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of 2,000 downloads was decided once for each question that was left: quitting took minutes."""
    decided: list[bytes] = []

    def counting(self: Known, unit: bytes, wanted: Sequence[bytes]) -> list[Identified]:
        decided.append(unit)
        return decide(self, unit, wanted)

    with open_for_writing(folder, "test") as store:
        for number in range(20):
            add_file(store, PIECES[4], f"here/copy {number}.flac")
    decide = Known.of
    monkeypatch.setattr(Known, "of", counting)
    assert (
        name(folder, "/music/here", typed="s\nq\n").stdout.splitlines()[-1].startswith("0 files named, 1 skipped, 20 ")
    )
    assert len(decided) < 10


def test_the_command_in_json(folder: Path) -> None:
    done = name(folder, "--json", typed="n\n")
    answer, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer == {"event": "named", "path": DOUBTFUL.decode(), "answer": "none", "recordings": []}
    assert summary == {"event": "name", "named": 0, "none": 1, "forgotten": 0, "skipped": 0, "left": 0}


def test_on_a_terminal_one_key_is_an_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (("[q]uit?", b"u"), ("[q]uit?", b"1"))
    with person(monkeypatch, *script) as someone, pytest.raises(SystemExit) as ended:
        cli.cli(["name", "--store", str(folder)])
    assert (ended.value.code, someone.problem) == (EXIT_DONE, "")
    assert "1 file named" in someone.seen
    assert questions(folder) == []


def test_titles_cannot_steer_the_terminal(folder: Path, services: Services, clock: Clock) -> None:
    evil = PIECES[11]
    title = "\x1b]0;owned\x07\x1b[2J\r\nWillow\u202e"
    results = sound(evil, 0.95, 2)
    results["recordings"][0] |= {"title": title, "artists": [{"id": mbid("artist", 1), "name": "\x9b31m"}]}
    results["recordings"][0]["releases"][0]["title"] = "\x1b[2J"
    services.sounds[evil.text] = [results]
    with open_for_writing(folder, "test") as store:
        add_file(store, evil, "evil/1.flac", title="\x1b[31m")
        run(store, services, clock, b"/music/evil")
    shown = name(folder, "/music/evil", typed="q\n").stdout
    assert not set(shown) & set("\x1b\x07\r\x9b\u202e")
