"""The pages Home and Plan in a real browser: by keyboard alone, at any width, for everybody, and from nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser import browsing, tab
from tests.cleanups import make_files, make_store, tree
from tests.web_server import Served, serving

pytestmark = pytest.mark.long
NAMES = {**{f"a{n}.flac": n for n in range(1, 4)}, **{f"copies/a{n}.wav": n for n in range(1, 4)}}
NAMES |= {f"{'a very long name ' * 10}.flac": 4, f"{'unbroken' * 25}/{'x' * 200}.wav": 4}
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("plan")
    make_files(made / "music", NAMES)
    make_store(made / "store", made / "music", NAMES)
    return made


@pytest.fixture(scope="module")
def served(library: Path) -> Iterator[Served]:
    with serving(library / "store", enter=False) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


def test_a_plan_is_made_carried_out_and_taken_back_by_keyboard(browser: Browser, served: Served, library: Path) -> None:
    before = tree(library / "music")
    with tab(browser, served) as opened:
        keyboard, page = opened.page.keyboard, opened.page
        opened.press_to("Plan")
        keyboard.press("Enter")
        page.wait_for_selector("#rest")
        opened.press_to("rest")
        keyboard.press("Enter")
        page.wait_for_selector("#preview button:focus", timeout=WAIT_MS)
        keyboard.press("Enter")
        page.wait_for_selector("#apply", timeout=WAIT_MS)
        opened.press_to("count")
        keyboard.type("3")
        keyboard.press("Enter")
        page.wait_for_selector("#status.error")
        assert page.inner_text("#status").startswith("Type 4") and tree(library / "music") == before
        keyboard.press("Control+A")
        keyboard.type("4")
        keyboard.press("Enter")
        page.wait_for_selector("#outcome", timeout=WAIT_MS)
        assert "4 files gone or changed" in page.inner_text("#outcome")
        n_quarantined = len(list(library.rglob(".reprise-quarantine/**/*.wav")))
        assert len(list((library / "music").rglob("*.wav"))) - n_quarantined == 0
        opened.press_to("Undo this clean-up")
        keyboard.press("Enter")
        page.get_by_text("4 files put back").wait_for(timeout=WAIT_MS)
        assert tree(library / "music") == before
        assert opened.problems == [] and opened.hosts == {served.host}


TEN = {f"{n}/{name}": n for n in range(1, 11) for name in ("a.flac", "b.wav", "c.mp3")}


def test_ten_groups_are_decided_by_keyboard_carried_out_and_taken_back(browser: Browser, tmp_path: Path) -> None:
    music = tmp_path / "music"
    make_files(music, TEN)
    make_store(tmp_path / "store", music, TEN)
    before = tree(music)
    with serving(tmp_path / "store", enter=False) as server, tab(browser, server) as opened:
        page, keyboard = opened.page, opened.page.keyboard
        opened.press_to("Groups")
        keyboard.press("Enter")
        page.wait_for_selector("table.groups")
        opened.press_to("/groups/")
        keyboard.press("Enter")
        for at, typed in enumerate(("s", "2k", "s", "a", "3k", "s", "ak", "s", "2s", "s")):
            page.get_by_text(f"{at + 1} of 10").wait_for(timeout=WAIT_MS)
            if typed == "ak":  # keeps all, takes it back and keeps the best after all
                keyboard.press("a")
                page.get_by_text(f"{at + 2} of 10").wait_for(timeout=WAIT_MS)
                keyboard.press("u")
                page.get_by_text(f"{at + 1} of 10").wait_for(timeout=WAIT_MS)
            for key in typed[-1] if typed == "ak" else typed:
                keyboard.press(key)
        page.get_by_text("That was the last one").wait_for(timeout=WAIT_MS)
        opened.press_to("Plan")
        keyboard.press("Enter")
        page.wait_for_selector("#apply", timeout=WAIT_MS)
        opened.press_to("count")
        keyboard.type("18")
        keyboard.press("Enter")
        page.wait_for_selector("#outcome", timeout=WAIT_MS)
        assert "18 files gone or changed" in page.inner_text("#outcome")
        left = Counter(path.parent.name for path in music.glob("[0-9]*/*.*"))
        assert sorted(left.values()) == [1] * 9 + [3]
        opened.press_to("Undo this clean-up")
        keyboard.press("Enter")
        page.get_by_text("18 files put back").wait_for(timeout=WAIT_MS)
        assert tree(music) == before
        assert opened.problems == [] and opened.hosts == {server.host}


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_at_any_width(browser: Browser, served: Served, width: int, scheme: str) -> None:
    with tab(browser, served, width, 800, color_scheme=scheme, bypass_csp=True) as opened:
        for path in ("/", "/plan"):
            opened.page.goto(f"http://{served.host}{path}")
            opened.page.wait_for_selector("#work:not(:empty), #past", state="attached")
            found = Axe().run(opened.page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.problems == []
