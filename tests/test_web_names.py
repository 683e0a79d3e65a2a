"""The page of names: folders with what their files are, the player, and answers that are kept and decide at once."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dedup.lookup.decide import Identified
from dedup.lookup.known import known
from dedup.lookup.said import is_none, say
from dedup.store.layout import Layout, write_lock
from dedup.store.store import open_for_reading, open_for_writing
from jobs.serve.names import MOST_ON_PAGE
from jobs.serve.naming import MOST_FILES
from tests.audio_files import write_tone
from tests.browser import browsing, tab
from tests.looking_up import Clock, run
from tests.lookup_service import Services, mbid, served
from tests.made_albums import add_file, make_pieces, named, publish, sound
from tests.stores import add_track, open_store
from tests.web_server import Served, serving

PIECES = make_pieces(2, 6)
TWICE = "{ const button = document.querySelector('li.question [data-word=none]'); button.click(); button.click(); }"
OWN, OTHER = PIECES[3], PIECES[9]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of an album that was looked up; one of its files is a question, and is in another folder too."""
    folder, clock = tmp_path_factory.mktemp("made"), Clock()
    tone = write_tone(folder / "tone.flac", 6.0)
    with served(Services(now=clock.now)) as services, open_store(folder / "store") as store:
        publish(services, PIECES)
        for piece in PIECES[:6]:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"here/{piece.number:02}.flac")
        likelier = named(OTHER, 90) | {"duration": round(OWN.length_s), "title": "<b>Bold</b> \u202e Title"}
        services.sounds[OWN.text] = [sound(OWN, 0.95, 10, likelier)]
        status, tags = tone.stat(), {"title": ("Something Else Entirely",)}
        place = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}
        properties = {"duration_s": OWN.length_s, "tags": tags}
        add_track(store, tone.name, OWN.items, root=str(tone.parent), device=status.st_dev, **place, **properties)
        run(store, services, clock)
        add_file(store, PIECES[11], "new/x.flac")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "store", tmp_path / "store"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened_one:
        yield opened_one


def found(folder: Path) -> dict[bytes, Identified]:
    with open_for_reading(folder) as store:
        return {each.file.path: each for each in chain.from_iterable(known(store, []))}


def question(server: Served) -> tuple[str, str]:
    """Id and state of the question in the folder of the album."""
    text = server.ask("/names?text=/music/here").text
    match = re.search(r'<li class="question" data-file="(\w+)" data-state="(\w+)"', text)
    assert match is not None
    return match[1], match[2]


def answer(server: Served, file: str, **said: str) -> tuple[int, dict[str, object]]:
    reply = server.ask(f"/api/names/{file}/answer", "POST", json.dumps(said).encode())
    return reply.status, reply.json()


def test_the_page_shows_folders_with_questions_first_and_answers_decide_at_once(folder: Path) -> None:
    with serving(folder) as server:
        text = server.ask("/names").text
        assert "<h1>2 questions, 5 of 8 files identified</h1>" in text
        assert "/new</bdi>" not in text and "/here</bdi>" in text
        assert "/new</bdi>" in server.ask("/names?show=unasked").text
        assert "/here</bdi>" not in server.ask("/names?show=&text=new").text
        assert "&lt;b&gt;Bold&lt;/b&gt; \\u202e Title" in text and "\u202e" not in text
        file, state = question(server)
        assert answer(server, file, word="is", recording=OWN.recording, state="0" * 16)[0] == 409
        assert answer(server, file, word="is", recording=mbid("recording", 999), state=state)[0] == 409
        assert answer(server, file, word="yes", state=state)[0] == 400
        assert answer(server, "0" * 16, word="none", state=state)[0] == 409
        status, told = answer(server, file, word="is", recording=OWN.recording, state=state)
        assert (status, told["text"]) == (200, "Saved. 2 folders hold this sound.")
        assert {each.verdict for each in found(folder).values()} == {"identified", "unasked"}
        assert found(folder)[b"/music/here/04.flac"].why == "as you said"
        text = server.ask("/names").text
        assert "<h1>0 questions, 7 of 8 files identified</h1>" in text
        (here,) = [each for each in told["folders"] if "/here</bdi>" in server.ask(f"/names/{each}").text]
        assert "Forget my answer" in server.ask(f"/names/{here}").text
        assert server.say("/api/names/undo")["text"] == "The last answer is taken back."
        assert "<h1>2 questions" in server.ask("/names").text
        assert server.say("/api/names/undo") == {
            "folders": [],
            "text": "There is no answer to take back.",
            "heading": "2 questions, 5 of 8 files identified",
        }
        assert server.ask("/names/0000000000000000").status == 404
        assert answer(server, file, word="none", state=state)[0] == 200
        assert found(folder)[b"/music/here/04.flac"].verdict == "unknown"
        assert "None of these" in server.ask("/names?show=unknown").text, "it can still be changed"


def test_an_answer_to_a_question_that_is_answered_already_is_refused(folder: Path) -> None:
    """A second tab shows it as it was, or a person was asked on a terminal meanwhile."""
    with serving(folder) as server:
        file, state = question(server)
        assert answer(server, file, word="is", recording=OWN.recording, state=state)[0] == 200
        status, told = answer(server, file, word="none", state=state)
        assert (status, found(folder)[b"/music/here/04.flac"].why) == (409, "as you said")
        assert "or your answer. Look at it again" in str(told["error"])
        each = found(folder)[b"/music/here/04.flac"]
        say(folder, [(each.file.subject, is_none(each.file))], "a terminal")
        reply = server.ask("/api/names/undo", "POST", b"{}")
        assert reply.status == 409 and "changed elsewhere since, and stays" in reply.json()["error"]
        assert found(folder)[b"/music/here/04.flac"].verdict == "unknown"


def test_a_folder_of_many_files_is_shown_in_parts(folder: Path) -> None:
    with open_for_writing(folder, "test") as store:
        audio = next(row[0] for row in store.catalog.audios.read_rows())
        for number in range(MOST_ON_PAGE + 50):
            add_track(store, f"many/{number:04}.flac", audio)
    with serving(folder) as server:
        first, last = (server.ask(f"/names?show=&text=many&page={number}").text for number in (1, 9))
        assert [each.count("data-file=") for each in (first, last)] == [MOST_ON_PAGE, 50]
        assert "/many</bdi>, files 101 to 200 of 450</h2>" in first and "0401.flac" not in first
        assert "/many</bdi>, files 401 to 450 of 450</h2>" in last and "Page 2 of 2" in last
        ids = re.findall(r'data-folder="(\w+)"', first + last)
        assert len(set(ids)) == 5
        both = server.ask(f"/names/{ids[1]},0000000000000000,{ids[2]}").text
        assert re.findall(r'data-folder="(\w+)"', both) == ids[1:3]
        part = server.ask(f"/names/{ids[1]}").text
        assert "files 101 to 200" in part and part.count("data-file=") == MOST_FILES
        file, state = re.findall(r'data-file="(\w+)" data-state="(\w+)"', part)[0]
        told = answer(server, file, word="none", state=state)[1]
        assert set(ids) < set(told["folders"]) and told["text"] == "Saved. 2 folders hold this sound."  # type: ignore[call-overload]


def test_beside_a_run_an_answer_waits_and_counts(folder: Path) -> None:
    with serving(folder) as server:
        file, state = question(server)
        with write_lock(Layout(folder), "another run"):
            assert answer(server, file, word="none", state=state)[0] == 200
            assert "<h1>0 questions" in server.ask("/names").text
            assert Layout(folder).waiting_namings.stat().st_size > 0
        with open_for_writing(folder, "test"):
            pass
        assert "<h1>0 questions" in server.ask("/names").text
        assert found(folder)[b"/music/here/04.flac"].verdict == "unknown"


def test_a_person_hears_a_file_and_answers_in_the_browser(folder: Path, made: Path, browser: Browser) -> None:
    with serving(folder) as server, tab(browser, server) as page:
        page.go("/names")
        row = "[data-folder]:has-text('tone.flac')"
        page.page.click(f"{row} .hear")
        heard = page.hear("document.querySelector('#toggle').textContent === 'Pause' && reprise.heard().position > 0.3")
        assert abs(heard.samples).max() > 0.01
        assert page.text("#playing") == "tone.flac"
        page.page.click("#toggle")
        assert page.text("#toggle") == "Play"
        page.page.click("li.question ol li:has-text('track 4 of') button")
        page.until("document.querySelector('#status').textContent.startsWith('Saved.')")
        assert page.page.locator("li.question").count() == 0
        assert found(folder)[os.fsencode(made / "tone.flac")].why == "as you said"
        page.page.click("#undo")
        page.until("document.querySelectorAll('li.question').length === 2")
        page.page.evaluate(TWICE)
        page.until("document.querySelector('#status').textContent.startsWith('Saved.')")
        assert page.text("h1") == "0 questions, 5 of 8 files identified"
        page.page.click("#undo")
        page.until("document.querySelectorAll('li.question').length === 2")
        page.press_to("None of these")
        page.press("Enter")
        page.until("document.querySelector('#status').textContent.startsWith('Saved.')")
        assert found(folder)[b"/music/here/04.flac"].verdict == "unknown"
        assert page.problems == [] and page.hosts == {server.host}

        page.page.click("#undo")
        page.until("document.querySelectorAll('li.question').length === 2")
        file, state = question(server)
        assert answer(server, file, word="none", state=state)[0] == 200
        page.page.click(f"[data-file='{file}'] ol li:has-text('track 4 of') button")
        page.until("document.querySelector('#status').textContent.includes('or your answer. Look at it again')")
        page.until(f"document.querySelector(\"[data-file='{file}']\").className === 'unknown'")
