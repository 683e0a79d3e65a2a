"""The pages Home and Plan in a real browser: by keyboard alone, at any width, for everybody, and from nowhere else."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

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
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Tab:
    """A page, with all that it asked for and all that went wrong in it."""

    def __init__(self, browser: Any, served: Served, width: int, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        self.page = self.context.new_page()
        self.hosts: set[str] = set()
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(served.address)

    def press_to(self, what: str) -> None:
        """Moves the focus by Tab until it is on something with this text or id."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            focused = self.page.locator(":focus")
            if what in (focused.get_attribute("id"), focused.inner_text().strip()):
                return
        raise AssertionError(f"no Tab reaches {what!r}")

    def end(self) -> None:
        self.context.close()


def test_a_plan_is_made_carried_out_and_taken_back_by_keyboard(browser: Any, served: Served, library: Path) -> None:
    before, tab = tree(library / "music"), Tab(browser, served, 1280)
    keyboard, page = tab.page.keyboard, tab.page
    tab.press_to("Plan")
    keyboard.press("Enter")
    page.wait_for_selector("#rest")
    tab.press_to("rest")
    keyboard.press("Enter")
    page.wait_for_selector("#preview button:focus", timeout=WAIT_MS)
    keyboard.press("Enter")
    page.wait_for_selector("#apply", timeout=WAIT_MS)
    tab.press_to("count")
    keyboard.type("3")
    keyboard.press("Enter")
    page.wait_for_selector("#status.error")
    assert page.inner_text("#status").startswith("Type 4") and tree(library / "music") == before
    keyboard.press("Control+A")
    keyboard.type("4")
    keyboard.press("Enter")
    page.wait_for_selector("#outcome", timeout=WAIT_MS)
    assert "4 files gone or changed" in page.inner_text("#outcome")
    assert len(list((library / "music").rglob("*.wav"))) - len(list(library.rglob(".reprise-quarantine/**/*.wav"))) == 0
    tab.press_to("Undo this clean-up")
    keyboard.press("Enter")
    page.get_by_text("4 files put back").wait_for(timeout=WAIT_MS)
    assert tree(library / "music") == before
    assert tab.errors == [] and tab.hosts == {served.host}
    tab.end()


TEN = {f"{n}/{name}": n for n in range(1, 11) for name in ("a.flac", "b.wav", "c.mp3")}


def test_ten_groups_are_decided_by_keyboard_carried_out_and_taken_back(browser: Any, tmp_path: Path) -> None:
    music = tmp_path / "music"
    make_files(music, TEN)
    make_store(tmp_path / "store", music, TEN)
    before = tree(music)
    with serving(tmp_path / "store", enter=False) as server:
        tab = Tab(browser, server, 1280)
        page, keyboard = tab.page, tab.page.keyboard
        tab.press_to("Groups")
        keyboard.press("Enter")
        page.wait_for_selector("table.groups")
        _press_to_a_group(page)
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
        tab.press_to("Plan")
        keyboard.press("Enter")
        page.wait_for_selector("#apply", timeout=WAIT_MS)
        tab.press_to("count")
        keyboard.type("18")
        keyboard.press("Enter")
        page.wait_for_selector("#outcome", timeout=WAIT_MS)
        assert "18 files gone or changed" in page.inner_text("#outcome")
        left = Counter(path.parent.name for path in music.glob("[0-9]*/*.*"))
        assert sorted(left.values()) == [1] * 9 + [3]
        tab.press_to("Undo this clean-up")
        keyboard.press("Enter")
        page.get_by_text("18 files put back").wait_for(timeout=WAIT_MS)
        assert tree(music) == before
        assert tab.errors == [] and tab.hosts == {server.host}
        tab.end()


def _press_to_a_group(page: Any) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if "/groups/" in (page.locator(":focus").get_attribute("href") or ""):
            page.keyboard.press("Enter")
            return
    raise AssertionError("no Tab reaches a group")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_at_any_width(browser: Any, served: Served, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab = Tab(browser, served, width, color_scheme=scheme, bypass_csp=True)
    for path in ("/", "/plan"):
        tab.page.goto(f"http://{served.host}{path}")
        tab.page.wait_for_selector("#work:not(:empty), #past", state="attached")
        found = Axe().run(tab.page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.errors == []
    tab.end()
