"""The player: which copy is heard at which instant, after each key; and what a person sees and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from click.testing import CliRunner
from playwright.sync_api import Browser

from jobs import cli
from jobs.serve.shown import id_of
from tests.browser import Heard, Tab, browsing, tab
from tests.ladder import COPIES, EXTRA, FRONT_S, RATE, SECONDS, SLOWER, Floats, marked, slower, write_library
from tests.web_server import Served, serving

CLOSE_S = 0.02
"""What is heard may be off by so much."""
MARKS = {Path(copy.name).suffix[1:]: copy.mark_hz for copy in COPIES}


@dataclass
class Stage:
    """A served library, and what it holds."""

    served: Served
    piece: Floats
    group: str
    pair: str

    def lineup(self, kind: str = "group") -> dict[str, Any]:
        found: dict[str, Any] = self.served.ask(
            f"/api/lineups/{kind}/{self.group if kind == 'group' else self.pair}"
        ).json()
        return found

    def file(self, codec: str, kind: str = "group") -> dict[str, Any]:
        """The record of the file in a format, and its number on the page."""
        files = self.lineup(kind)["files"]
        return next({**file, "number": i + 1} for i, file in enumerate(files) if file["codec"].startswith(codec))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONFIG", "DATA", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
        piece = write_library(folder / "library")
        store = str(folder / "store")
        words = ["full", str(folder / "library"), "--store", store, "--workers", "0", "--json"]
        done = CliRunner().invoke(cli.cli, words)
        assert done.exit_code == 0, done.output
        pairs = CliRunner().invoke(cli.cli, ["export", "pairs", "--store", store])
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with serving(folder / "store") as served:
            group = served.ask("/groups").text.split('href="/groups/')[1][:16]
            yield Stage(served, piece, group, _uncertain(served, pairs.output))


def _uncertain(served: Served, exported: str) -> str:
    """The id of the pair that is asked about: of different speed."""
    for pair in map(json.loads, exported.splitlines()):
        found = id_of(pair["a"].encode(), pair["b"].encode())
        if served.ask(f"/api/lineups/pair/{found}").status == 200:
            return found
    raise AssertionError(exported)


@pytest.fixture(scope="module")
def shared(browser: Browser, stage: Stage) -> Iterator[Tab]:
    with tab(browser, stage.served) as opened:
        yield opened


@pytest.fixture
def player(shared: Tab, stage: Stage) -> Iterator[Tab]:
    """The group's page, with all its sound at hand."""
    shared.go(f"/groups/{stage.group}")
    ready(shared)
    yield shared
    assert shared.problems == []
    assert shared.hosts == {stage.served.host}


def ready(opened: Tab) -> None:
    """Waits until the first two windows of every copy are there."""
    n_rows = "document.querySelectorAll('canvas').length"
    opened.until(f"window.reprise && {n_rows} && reprise.bytes() >= 2 * 1920000 * {n_rows}")


def compared(opened: Tab, file: str) -> None:
    """Waits until the difference of a file from the first is worked out, and the page has heard of it."""
    address = f"/api/lineups/{file}/residual"
    opened.until(f"fetch('{address}').then((answer) => answer.json()).then((found) => found.is_ready)")
    opened.page.wait_for_timeout(1000)


def seek(opened: Tab, seconds: float) -> None:
    script = (
        "(s) => { const r = document.querySelector('.seek input'); r.value = s; r.dispatchEvent(new Event('input')); }"
    )
    opened.page.evaluate(script, seconds)


def listen(opened: Tab, at_least_s: float = 0.75) -> Heard:
    """What is heard when the copy that was asked for has sounded for a while from the last jump on."""
    opened.until(f"reprise.heard().since >= {at_least_s}")
    return opened.hear()


def test_a_digit_changes_the_copy_and_not_the_instant(player: Tab, stage: Stage) -> None:
    player.press("Space")
    for codec in ("flac", "opus", "mp3", "flac"):
        player.press(str(stage.file(codec)["number"]))
        heard = listen(player)
        assert heard.mark(MARKS) == codec
        assert abs(player.off_s(stage.piece)) <= CLOSE_S
        assert stage.file(codec)["name"] in player.text(".hearing")


def test_a_switch_sounds_at_once_and_leaves_no_gap(player: Tab, stage: Stage) -> None:
    player.press("Space")
    listen(player)
    number = stage.file("opus")["number"]
    press = f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{number}', bubbles: true }}))"
    heard = player.hear(first=f"(({press}), reprise.heard().time)", then_ms=150)
    n = RATE // 100
    parts = heard.samples[len(heard.samples) % n :].reshape(-1, n)
    tones = {name: np.exp(-2j * np.pi * hz * np.arange(n) / RATE) for name, hz in MARKS.items()}
    is_new = [abs(part @ tones["opus"]) > abs(part @ tones["flac"]) for part in parts * np.hanning(n)]
    assert not is_new[0] and all(is_new[is_new.index(True) :])
    after_s = heard.time_s - (len(parts) - is_new.index(True)) * n / RATE - heard.before_s
    assert after_s <= 0.05
    levels = np.sqrt(np.mean(np.square(parts), axis=1))
    assert levels.min() > 0.3 * np.median(levels)


def test_windows_join_without_a_seam(player: Tab, stage: Stage) -> None:
    number = stage.file("flac")["number"]
    seek(player, 9.5)
    player.press(str(number))
    heard = player.hear(when="reprise.heard().position > 10.2")
    assert 10.2 < heard.position_s < 10.6, "it was not listened to in time"
    whole = marked(stage.piece, MARKS["flac"])
    assert heard.residual_db(whole, heard.instant_s(whole)) < -60


def test_arrows_go_five_seconds_and_to_what_differs(player: Tab, stage: Stage) -> None:
    player.press("ArrowRight", "ArrowRight")
    assert player.hear().position_s == pytest.approx(10, abs=0.01)
    player.press("ArrowLeft", "Space")
    heard = listen(player)
    assert 5 < heard.position_s < 8
    assert abs(player.off_s(stage.piece)) <= CLOSE_S
    player.press(str(stage.file("opus")["number"]), "Space", "Shift+ArrowRight")
    assert player.hear().position_s == pytest.approx(EXTRA[0] - 0.5, abs=0.5)
    player.press(str(stage.file("mp3")["number"]), "Space", "Shift+ArrowLeft")
    assert player.hear().position_s == pytest.approx(-FRONT_S, abs=0.1)


@pytest.mark.long
def test_the_loop_repeats_to_the_sample(player: Tab, stage: Stage) -> None:
    number = stage.file("flac")["number"]
    seek(player, 14.0)
    player.press("l", str(number))
    seek(player, 17.2)
    heard = player.hear(when="reprise.heard().position < 12", then_ms=250)
    assert 10.1 <= heard.position_s < 10.6, "it was not listened to in time"
    whole = marked(stage.piece, MARKS["flac"])
    start, end = 10 * RATE, 18 * RATE
    looped = np.concatenate([whole[end - start : end], whole[start : start + 2 * RATE]])  # 10 s lie where they did
    assert heard.residual_db(looped, heard.instant_s(looped)) < -60
    player.press("l")
    assert player.page.get_attribute("[data-act=loop]", "aria-pressed") == "false"


@pytest.mark.long
def test_the_difference_is_heard_where_there_is_one(player: Tab, stage: Stage) -> None:
    number = stage.file("opus")["number"]
    compared(player, f"group/{stage.group}/{stage.file('opus')['id']}")
    seek(player, EXTRA[0] + 0.5)
    player.press(str(number), "Shift+D")
    heard = listen(player)
    assert "difference" in player.text(".hearing")
    assert heard.strength(1100) > 0.02
    seek(player, EXTRA[0] - 8)
    assert listen(player).loudness_db < heard.loudness_db - 20


@pytest.mark.long
def test_another_speed_is_heard_at_the_same_instant(browser: Browser, stage: Stage) -> None:
    with tab(browser, stage.served) as opened:
        opened.go(f"/uncertain/{stage.pair}")
        ready(opened)
        compared(opened, f"pair/{stage.pair}/{stage.lineup('pair')['files'][1]['id']}")
        assert "faster" in opened.text(".lanes")
        stretch = slower(stage.piece)
        seek(opened, 12)
        off = []
        for codec in ("wma", "flac", "wma"):
            opened.press(str(stage.file(codec, "pair")["number"]))
            heard = listen(opened)
            assert heard.mark({name: hz / (1 + SLOWER) for name, hz in MARKS.items()}) == codec
            off.append(opened.off_s(stretch))
        assert max(off) - min(off) <= CLOSE_S
        assert 0 <= off[0] < 0.06  # its codec puts some silence in front, and the axis is that of the slow file
        assert opened.problems == []


@pytest.mark.long
def test_loudness_is_matched_until_it_is_switched_off(player: Tab, stage: Stage) -> None:
    gain_db = float(
        player.page.evaluate(
            f"fetch('/api/lineups/group/{stage.group}/sounds').then((a) => a.json()).then((a) => a.tracks[0].gain_db)"
        )
    )
    assert gain_db < -1
    player.press("1")
    seek(player, 8)
    matched = listen(player)
    player.press("m", "Space")
    seek(player, 8)
    player.press("Space")
    plain = listen(player)
    assert matched.loudness_db - plain.loudness_db == pytest.approx(gain_db, abs=1.5)


@pytest.mark.long
def test_a_blind_test_hides_and_counts(player: Tab, stage: Stage) -> None:
    player.press("x")
    assert not player.page.is_visible(".legend")
    disabled = player.page.eval_on_selector_all("button:disabled", "(all) => all.map((one) => one.dataset.act)")
    assert disabled == ["difference", "same", "different", "keepAll"]
    assert not any(file["name"] in player.text("#main") for file in stage.lineup()["files"] if file["codec"] != "flac")
    heights = player.page.eval_on_selector_all("canvas", "(all) => all.map((one) => one.clientHeight)")
    assert len(set(heights)) == 1
    for _ in range(3):
        player.press("2", "k")
    player.press("x")
    told = player.text("#status")
    assert player.page.is_visible(".legend")
    assert player.page.locator("button:disabled").count() == 0
    assert "3 rounds" in told
    counts = [int(count) for count in re.findall(r"\): (\d)", told)]
    assert sum(counts) == 3 and len(counts) == 3


def test_answers_are_saved_and_taken_back(player: Tab, stage: Stage) -> None:
    number = stage.file("opus")["number"]
    player.page.wait_for_selector(".value")
    value = player.page.locator("tr", has_text="encodersettings").locator(".value")
    value.click()
    assert value.get_attribute("aria-pressed") == "true"
    player.press(str(number), "k")
    player.until("document.querySelector('#status').textContent")
    assert stage.lineup()["said"] == "keep"
    assert any("encodersettings" in line for line in stage.lineup()["gets"])
    kept = [file["codec"] for file in stage.lineup()["files"] if file["action"] == "keep"]
    assert kept == ["opus"]
    player.press("u")
    player.until("document.querySelector('#status').textContent.includes('taken back')")
    assert stage.lineup()["said"] == ""


def test_every_key_has_a_button_and_stands_in_the_help(player: Tab) -> None:
    player.press("?")
    rows = player.page.eval_on_selector_all("dialog tr", "(all) => all.length")
    buttons = player.page.eval_on_selector_all("[data-act]", "(all) => all.length")
    assert rows == buttons + 1  # and the digits
    player.press("?")
    assert not player.page.is_visible("dialog")


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), pytest.param(1280, "dark", marks=pytest.mark.long)])
def test_everybody_can_use_it(browser: Browser, stage: Stage, width: int, scheme: Any) -> None:
    with tab(browser, stage.served, width, 780) as opened:
        opened.page.emulate_media(color_scheme=scheme)
        opened.go(f"/groups/{stage.group}")
        ready(opened)
        opened.page.wait_for_selector(".tags")
        opened.press("2")
        found = Axe().run(opened.page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert opened.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        small = opened.page.eval_on_selector_all(
            "#lineup button:not(.value)",
            "(all) => all.filter((one) => one.offsetHeight && one.offsetHeight < 35).length",
        )
        assert small == 0


def test_lengths_are_rounded_before_they_are_split(player: Tab) -> None:
    told = player.page.evaluate(
        "import('/static/common.js').then(({ clock }) => [[299.97, 1], [59.6], [-0.01, 1], [-61.25, 1], [7, 0]]"
        ".map((each) => clock(...each)))"
    )
    assert told == ["5:00.0", "1:00", "0:00.0", "\N{MINUS SIGN}1:01.3", "0:07"]


def test_a_click_on_an_outline_goes_there(player: Tab, stage: Stage) -> None:
    file = stage.file("mp3")
    outline = player.page.locator(".lane").nth(file["number"] - 1).locator("canvas")
    width = outline.evaluate("(canvas) => canvas.clientWidth")
    outline.click(position={"x": width / 2, "y": 20})  # waits until what comes in late no longer moves it
    heard = listen(player)
    assert heard.mark(MARKS) == "mp3"
    middle_s = (SECONDS - FRONT_S) / 2
    assert middle_s < heard.position_s < middle_s + 3
    assert abs(player.off_s(stage.piece)) <= CLOSE_S


# ---- the server's part ----


@pytest.mark.parametrize(
    "query", ["start=x", "start=nan", "start=inf", "start=1e9", "length=-1", "length=61", "length=1e999"]
)
def test_a_window_out_of_range_is_refused(stage: Stage, query: str) -> None:
    answer = stage.served.ask(f"/api/lineups/group/{stage.group}/{stage.file('flac')['id']}/window?{query}")
    assert answer.status == 400 and "number from" in answer.json()["error"]


@pytest.mark.parametrize("what", ["window", "sound", "difference", "residual", "cover"])
def test_no_file_but_those_of_the_lineup_is_opened(stage: Stage, what: str) -> None:
    for track in ("0" * 16, "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd"):
        assert stage.served.ask(f"/api/lineups/group/{stage.group}/{track}/{what}").status == 404
    assert stage.served.ask(f"/api/lineups/group/{'0' * 16}/{stage.file('flac')['id']}/{what}").status == 404


def test_the_first_file_has_no_difference(stage: Stage) -> None:
    first = stage.lineup()["files"][0]["id"]
    assert stage.served.ask(f"/api/lineups/group/{stage.group}/{first}/difference").status == 404


def test_a_window_is_flac_and_a_missing_cover_is_nothing(stage: Stage) -> None:
    base = f"/api/lineups/group/{stage.group}/{stage.file('opus')['id']}"
    answer = stage.served.ask(f"{base}/window?start=-1&length=2")
    assert (answer.status, answer.headers["Content-Type"], answer.body[:4]) == (200, "audio/flac", b"fLaC")
    assert stage.served.ask(f"{base}/cover").status == 204
