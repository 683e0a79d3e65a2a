"""A browser that opens a served store, and ears: which copy sounds, and which instant of it."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from playwright.sync_api import Browser, Page, sync_playwright

from tests.ladder import RATE, Floats
from tests.web_server import Served

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 30_000
_STEP_MS = 25
_NEAR_S = 1.0
"""Seconds around the position that is shown in which the sound is looked for."""


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without a window."""
    assert CHROMIUM is not None, "install chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page in a browser of its own."""

    page: Page
    host: str
    problems: list[str] = field(default_factory=list)
    """What went wrong in the page: errors of scripts, refused requests."""
    hosts: set[str] = field(default_factory=set)
    """Where requests went."""

    def go(self, path: str) -> None:
        self.page.goto(f"http://{self.host}{path}")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def press_to(self, what: str) -> None:
        """Moves the focus by Tab until it is on something with this text, id or beginning of an address."""
        for _ in range(60):
            self.press("Tab")
            focused = self.page.locator(":focus")
            address = focused.get_attribute("href") or ""
            if what in (focused.get_attribute("id"), focused.inner_text().strip()) or address.startswith(what):
                return
        raise AssertionError(f"no Tab reaches {what!r}")

    def until(self, script: str) -> Any:
        """Waits until a script gives something; fails after 30 s."""
        for _ in range(WAIT_MS // _STEP_MS):
            if found := self.page.evaluate(script):
                return found
            self.page.wait_for_timeout(_STEP_MS)
        raise AssertionError(f"never true: {script}; {self.problems}; {self.page.inner_text('body')}")

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def hear(self, when: str = "true", then_ms: int = 0, first: str = "null") -> Heard:
        """What sounds at the moment when a condition holds in the page, or some time later; `first` is evaluated before
        and becomes the `before_s` of what is heard."""
        script = f"""async () => {{
            const pause = (ms) => new Promise((done) => setTimeout(done, ms));
            const before = {first};
            for (let i = 0; !({when}); i += 1) {{
                if (i > {WAIT_MS // 4}) throw new Error("never true");
                await pause(4);
            }}
            await pause({then_ms});
            const found = reprise.heard();
            let bytes = "";
            for (const byte of new Uint8Array(found.samples.buffer)) bytes += String.fromCharCode(byte);
            return {{ ...found, before, samples: btoa(bytes) }};
        }}"""
        found = self.page.evaluate(script)
        samples = np.frombuffer(base64.b64decode(found["samples"]), np.float32)
        return Heard(found["position"], found["time"], samples, found["before"] or 0.0)

    def off_s(self, piece: Floats) -> float:
        """How far what is heard is from what the page shows: the middle of some looks, as the two are not read at one
        moment."""
        found = [self.hear(then_ms=23) for _ in range(3)]
        return float(np.median([heard.instant_s(piece) - heard.position_s for heard in found]))


@contextmanager
def tab(browser: Browser, served: Served, width: int = 1280, height: int = 900, **options: Any) -> Iterator[Tab]:
    """A page that may enter; `options` are those of a browser's context."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    opened = Tab(page, served.host)
    page.on("pageerror", lambda error: opened.problems.append(str(error)))
    page.on("console", lambda said: opened.problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda request: opened.hosts.add(urlsplit(request.url).netloc))
    page.set_default_timeout(WAIT_MS)
    page.goto(served.address)
    yield opened
    context.close()


@dataclass(frozen=True)
class Heard:
    """The last two thirds of a second of sound."""

    position_s: float
    """What the page says is heard at its end."""
    time_s: float
    """Clock of the sound."""
    samples: Floats
    before_s: float = 0.0
    """Clock of the sound when something was done."""

    @property
    def loudness_db(self) -> float:
        return float(10 * np.log10(np.mean(np.square(self.samples, dtype=np.float64)) + 1e-12))

    def strength(self, hz: float) -> float:
        """Amplitude of a tone, or of those within 30 Hz of it."""
        spectrum = np.abs(np.fft.rfft(self.samples * np.hanning(len(self.samples)))) * 4 / len(self.samples)
        bins = np.fft.rfftfreq(len(self.samples), 1 / RATE)
        return float(spectrum[abs(bins - hz) < 30].max())

    def mark(self, marks: Mapping[str, float]) -> str:
        """Whose mark is heard."""
        return max(marks, key=lambda name: self.strength(marks[name]))

    def instant_s(self, piece: Floats) -> float:
        """The instant of a piece that is heard at the end, to the sample. Fails if it is another sound."""
        n = len(self.samples)
        first = round((self.position_s - _NEAR_S) * RATE) - n
        near = _cut(piece, first, n + 2 * round(_NEAR_S * RATE))
        size = 1 << int(len(near) + n).bit_length()
        product = np.fft.rfft(near, size) * np.conj(np.fft.rfft(self.samples, size))
        found = np.fft.irfft(product)[: len(near) - n]
        best = int(found.argmax())
        part = near[best : best + n]
        alike = float(found[best] / (np.linalg.norm(part) * np.linalg.norm(self.samples) + 1e-9))
        assert alike > 0.6, f"another sound at {self.position_s:.2f} s: {alike:.2f}"
        return (first + best + n) / RATE

    def residual_db(self, piece: Floats, instant_s: float) -> float:
        """What is left of it beside that part of the piece, at the best gain."""
        n = len(self.samples)
        part = _cut(piece, round(instant_s * RATE) - n, n).astype(np.float64)
        gain = float(part @ self.samples / (part @ part))
        left = self.samples - gain * part
        return float(20 * np.log10(np.linalg.norm(left) / np.linalg.norm(self.samples)))


def _cut(piece: Floats, first: int, n: int) -> npt.NDArray[np.float32]:
    """Samples of a piece, 0 where it has none."""
    found = np.zeros(n, np.float32)
    low, high = max(0, first), min(len(piece), first + n)
    if low < high:
        found[low - first : high - first] = piece[low:high]
    return found
