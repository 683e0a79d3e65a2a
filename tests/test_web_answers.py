"""What is decided on the page is kept at once, agrees with a terminal and other pages, and can be taken back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dedup.plan.document import read_plan
from dedup.store.store import open_for_reading, open_for_writing
from tests.browser import browsing, tab
from tests.cleanups import make_files, make_store
from tests.web_server import REPO, Served, serving

MUSIC = {f"{seed}/{name}": seed for seed in range(1, 6) for name in ("a.flac", "b.wav", "c.mp3")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_files(tmp_path / "music", MUSIC)
    make_store(tmp_path / "store", tmp_path / "music", MUSIC)
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with serving(folder / "store") as server:
        yield server


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose answers nothing changes."""
    made = tmp_path_factory.mktemp("small")
    make_files(made / "music", {"a.flac": 1, "b.wav": 1})
    make_store(made / "store", made / "music", {"a.flac": 1, "b.wav": 1})
    with serving(made / "store") as server:
        yield server


def groups(server: Served, said: str = "") -> list[str]:
    text = server.ask(f"/groups?said={said}").text
    return [part.partition('"')[0] for part in text.split('name="group" value="')[1:]]


def files(server: Served, group: str) -> dict[str, str]:
    """Ids of the files of a group, by name."""
    told = server.ask(f"/api/lineups/group/{group}").json()
    return {file["name"]: file["id"] for file in told["files"]}


def actions(folder: Path) -> dict[str, str]:
    """What the plan says about each file, by its path below the library."""
    plan = read_plan(os.fsencode(folder / "store" / "review.json"))
    root = os.fsencode(folder / "music") + b"/"
    return {file.path.removeprefix(root).decode(): file.action for group in plan.groups for file in group.files}


def test_each_answer_is_in_the_plan_when_the_page_hears_of_it(served: Served, folder: Path) -> None:
    first, second, third, *_ = groups(served)
    told = served.say(f"/api/groups/{first}/answer", word="keep", kept=files(served, first)["c.mp3"])
    assert told == {"saved": True, "next": second, "text": "Saved."}
    kept = {path: action for path, action in actions(folder).items() if action == "keep"}
    assert len(kept) == 1 and next(iter(kept)).endswith("c.mp3")
    assert served.say(f"/api/groups/{second}/answer", word="keep all")["next"] == third
    assert served.say(f"/api/groups/{third}/answer", word="same")["saved"]
    assert len(actions(folder)) == 9
    assert groups(served, "said") == [first, second, third]
    assert len(groups(served, "open")) == 2
    assert "you keep all" in served.ask("/groups").text


def test_files_are_shown_with_what_is_known_of_them_and_the_kept_one(tmp_path: Path) -> None:
    """Even if that is not the one on whose axis they are."""
    for names in (("a.flac", "b.wav"), ("c.mp3",)):  # nobody has listened to c.mp3 and another
        make_files(tmp_path / "music", dict.fromkeys(names, 1))
        make_store(tmp_path / "store", tmp_path / "music", dict.fromkeys(names, 1))
    with serving(tmp_path / "store") as server:
        (group,) = groups(server)

        def told() -> dict[str, tuple[bool, str]]:
            found = server.ask(f"/api/lineups/group/{group}").json()["files"]
            return {file["name"]: ("passed" in file["null_test"], file["unheard"]) for file in found}

        unheard = "nobody has listened to the two"
        assert told() == {"b.wav": (False, ""), "a.flac": (True, ""), "c.mp3": (False, unheard)}
        server.say(f"/api/groups/{group}/answer", word="keep", kept=files(server, group)["c.mp3"])
        assert told() == {"b.wav": (False, unheard), "a.flac": (False, unheard), "c.mp3": (False, "")}


def test_an_answer_can_be_taken_back_and_changed(served: Served, folder: Path) -> None:
    first, second, *_ = groups(served)
    names = files(served, first)
    served.say(f"/api/groups/{first}/answer", word="keep", kept=[names["a.flac"]])
    served.say(f"/api/groups/{first}/answer", word="keep", kept=[names["b.wav"]])
    served.say(f"/api/groups/{second}/answer", word="skip")
    assert served.say("/api/undo") == {"kind": "group", "id": second, "text": "The last answer is taken back."}
    assert served.say("/api/undo")["id"] == first
    assert [path[2:] for path, action in actions(folder).items() if action == "keep"] == ["a.flac"]
    assert served.say("/api/undo")["id"] == first
    assert actions(folder) == {}
    assert served.say("/api/undo")["kind"] is None


def test_files_called_different_leave_the_group_for_good(served: Served, folder: Path) -> None:
    first = groups(served)[0]
    odd = files(served, first)["b.wav"]
    told = served.say(f"/api/groups/{first}/answer", word="different", different=[odd])
    assert set(files(served, told["next"])) == {"a.flac", "c.mp3"}
    with open_for_reading(folder / "store") as store:
        assert [said.same for said in store.catalog.judgements.all()] == [False, False]
    assert served.say("/api/undo")["id"] == first
    assert len(files(served, first)) == 3
    with open_for_reading(folder / "store") as store:
        assert list(store.catalog.judgements.all()) == []


@pytest.mark.long
def test_the_message_of_each_act_stands_on_the_page_that_it_brings(served: Served) -> None:
    first, second, third, *_ = groups(served)
    with browsing() as browser, tab(browser, served) as page:
        said, place = (f"document.querySelector('{name}').textContent" for name in ("#status", ".head .quiet"))

        def shows(at: str, text: str) -> None:
            page.until(f"{place} === '{at}' && {said} === '{text}'")
            page.page.wait_for_timeout(1500)  # until the sound of the one before would be known
            assert (page.page.evaluate(place), page.page.evaluate(said)) == (at, text)

        page.go(f"/groups/{second}")
        page.until("document.querySelector('.head')")
        page.press("s")
        shows("3 of 5", "Saved.")
        page.press("p")
        shows("2 of 5", "")
        page.press("u")
        shows("2 of 5", "The last answer is taken back.")
        page.press("2", "d")
        shows("5 of 5", "Saved. The rest of the group is next.")  # it has the fewest bytes now
        assert groups(served)[1] == third
        page.press("u")
        shows("2 of 5", "The last answer is taken back.")
        assert groups(served)[:2] == [first, second]
        assert [
            told for told in page.problems if "404" not in told
        ] == []  # it may ask for a group that was just regrouped


def test_several_groups_are_accepted_after_a_preview(served: Served, folder: Path) -> None:
    chosen = groups(served)[:3]
    preview = served.say("/api/accept", groups=chosen, preview=True)
    assert (preview["n_groups"], preview["n_files"]) == (3, 6)
    assert not (folder / "store" / "review.json").exists()
    accepted = served.say("/api/accept", groups=chosen)
    assert (accepted["n_groups"], accepted["n_bytes"]) == (3, preview["n_bytes"])
    assert sorted(actions(folder).values()) == ["keep"] * 3 + ["quarantine"] * 6
    assert served.say("/api/undo")["kind"] == "several"
    assert actions(folder) == {}


def test_the_list_says_beside_its_button_what_came_of_it(served: Served) -> None:
    with browsing() as browser, tab(browser, served) as page:
        page.page.on("dialog", lambda dialog: dialog.accept())
        page.go("/groups")
        page.page.click("#chosen button")
        assert page.text("#chosen output") == "Select groups first."
        page.page.check("#all")
        assert page.text("#chosen output") == ""
        with page.page.expect_navigation():  # the list comes again
            page.page.click("#chosen button")
        page.until("document.querySelector('#chosen output').textContent.startsWith('Decided about 5 groups')")
        assert page.text("#status") == "" and page.problems == []


def test_two_files_are_searched_chosen_and_compared(served: Served) -> None:
    button, line = '<button class="main">{}</button>'.format, "Choose one file on each side, then compare."
    first, found = served.ask("/two").text, served.ask("/two?a_text=1/&b_text=2/").text
    assert button("Search") in first and line not in first
    assert button("Compare") in found and line in found


def test_two_pages_and_a_terminal_agree(served: Served, folder: Path) -> None:
    ids = groups(served)
    plan = folder / "store" / "review.json"
    with serving(folder / "store") as other:
        served.say(f"/api/groups/{ids[0]}/answer", word="keep all")
        assert groups(other, "said") == [ids[0]]
        other.say(f"/api/groups/{ids[1]}/answer", word="keep all")
        command = [sys.executable, "-m", "jobs", "resolve", "-o", str(plan), "--limit", "1"]
        terminal = subprocess.run(
            [*command, "--store", str(folder / "store")],
            cwd=REPO,
            input=b"\n",
            capture_output=True,
            timeout=120,
            check=True,
        )
        assert b"3 groups left" in terminal.stdout
        assert groups(served, "said") == groups(other, "said") == ids[:3]
        served.say(f"/api/groups/{ids[0]}/answer", word="same")
        assert len(groups(other, "open")) == 2
    assert len(read_plan(os.fsencode(plan)).groups) == 3


def test_decisions_do_not_wait_for_a_run_that_holds_the_store(served: Served, folder: Path) -> None:
    first, second, *_ = groups(served)
    odd = files(served, first)["b.wav"]
    with open_for_writing(folder / "store", "a nightly run"):
        rest = served.say(f"/api/groups/{first}/answer", word="different", different=[odd])["next"]
        served.say(f"/api/groups/{second}/answer", word="keep all")
        assert set(files(served, rest)) == {"a.flac", "c.mp3"}
        assert served.end(signal.SIGKILL) == -signal.SIGKILL
    with open_for_reading(folder / "store") as store:
        assert [said.same for said in store.catalog.judgements.all()] == [False, False]
    assert set(actions(folder).values()) == {"leave"}


def test_what_the_page_showed_as_saved_survives_a_kill(folder: Path) -> None:
    with serving(folder / "store") as server:
        ids = groups(server)
        for group in ids[:3]:
            server.say(f"/api/groups/{group}/answer", word="same")
        server.end(signal.SIGKILL)
    assert len(actions(folder)) == 9
    with serving(folder / "store") as server:
        assert groups(server, "said") == ids[:3]


def test_a_store_that_a_run_changed_is_seen_changed(served: Served, folder: Path) -> None:
    """Without a restart of the server."""
    more = {"9/a.flac": 9, "9/b.wav": 9}
    assert len(groups(served)) == 5
    make_files(folder / "music", more)
    make_store(folder / "store", folder / "music", more)
    deadline = 60
    while len(groups(served)) != 6 and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.5"], check=True)
    assert len(groups(served)) == 6


def test_a_group_that_changed_meanwhile_is_not_answered(served: Served) -> None:
    first = groups(served)[0]
    names = files(served, first)
    for odd in ("b.wav", "c.mp3"):
        group = next(each for each in groups(served) if names[odd] in files(served, each).values())
        served.say(f"/api/groups/{group}/answer", word="different", different=[names[odd]])
    answer = served.ask(f"/api/groups/{first}/answer", "POST", b'{"word": "keep all"}')
    assert answer.status in (404, 409) and "Look at the list again" in answer.text
    assert served.ask(f"/groups/{first}").status == 404


def test_tags_that_differ_can_be_chosen(served: Served) -> None:
    first = groups(served)[0]
    rows = served.ask(f"/api/lineups/group/{first}/tags").json()["rows"]
    assert all(len(row["values"]) == 3 for row in rows)


def test_the_list_is_filtered(served: Served) -> None:
    assert len(groups(served)) == 5
    assert "1 group of 5" in served.ask("/groups?text=3/a.flac").text
    assert "No group matches" in served.ask("/groups?format=opus").text
    assert "<script" not in served.ask("/groups?text=%3Cscript%3Ealert(1)").text.partition("<main")[2]
    assert served.ask("/groups?page=99999999999").status == 200


ODD_VALUES = (
    {"title": ["\ud800"]},
    {"title": ["a\0b"]},
    {"": ["a"]},
    {"a=b": ["a"]},
    {"a\n": ["a"]},
    {"\ud800": ["a"]},
)


@pytest.mark.parametrize("values", ODD_VALUES)
def test_values_that_no_tag_can_hold_are_refused(values: dict[str, list[str]], small: Served) -> None:
    """A lone surrogate that was kept would break each page of the plan from then on."""
    body = json.dumps({"word": "keep", "values": values}).encode()
    assert small.ask(f"/api/groups/{groups(small)[0]}/answer", "POST", body).status == 400
    assert groups(small, "said") == []
    assert small.ask("/plan").status == 200
