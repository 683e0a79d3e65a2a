"""The page on which a file gets its cover: what there is to choose from, uploads and what is refused of them, the very
JPEG in the tag, and the way back; with a real server, real files and a real browser."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from mutagen.flac import FLAC
from mutagen.flac import Picture as FlacPicture
from PIL import Image
from playwright.sync_api import Browser

from dedup.covers.edit import Box
from dedup.covers.make import Made
from dedup.observer import Silent
from dedup.store.layout import Layout, is_locked
from dedup.store.store import open_for_writing
from dedup.tags.cover import cover_of
from dedup.tags.read import read_tags
from dedup.tags.write import write_tags
from dedup.upkeep.check import check
from jobs.serve.pictures import Kept, Pictures
from tests.browser import Tab, browsing, tab
from tests.cleanups import make_files, make_store, tree
from tests.test_covers import noise, saved
from tests.web_server import WAIT_S, Served, serving

FILES = {"a.flac": 1, "copies/a.mp3": 1, "b.flac": 2, "copies/b.wav": 2}
FRONT, BACK = saved(noise(300, 300, 3), "PNG"), saved(noise(200, 150, 4), "PNG")
OF_COPY, IN_FOLDER = saved(noise(640, 480), "JPEG", quality=85), saved(noise(900, 600, 2), "TIFF")
UPLOADS = {"JPEG": "image/jpeg", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp"}


@dataclass
class Page:
    """A served library, and the address of the cover of one of its files."""

    served: Served
    folder: Path
    group: str
    track: str

    @property
    def address(self) -> str:
        return f"/api/covers/group/{self.group}/{self.track}"

    @property
    def music(self) -> Path:
        return self.folder / "music"

    @property
    def file(self) -> Path:
        return self.music / "a.flac"

    def pictures(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.served.ask(self.address).json()["pictures"]
        return found

    def picture(self, origin: str) -> str:
        """The id of the first picture that comes from there."""
        return next(str(each["id"]) for each in self.pictures() if each["origin"] == origin)

    def upload(self, data: bytes, kind: str = "image/png") -> str:
        answer = self.served.ask("/api/uploads", "POST", data, {"Content-Type": kind})
        assert answer.status == 200, answer.text
        id_: str = answer.json()["id"]
        return id_

    def make(self, picture: str, **edit: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.served.say(f"{self.address}/made", picture=picture, **edit)
        return found

    def jpeg(self, made: str) -> bytes:
        answer = self.served.ask(f"/api/covers/made/{made}")
        assert answer.status == 200 and answer.headers["Content-Type"] == "image/jpeg"
        return answer.body

    def save(self, made: str) -> dict[str, Any]:
        self.served.say(f"{self.address}/save", made=made)
        return self.outcome()

    def outcome(self) -> dict[str, Any]:
        ends = time.monotonic() + WAIT_S
        while (found := self.served.ask("/api/covers/outcome").json())["running"]:
            assert time.monotonic() < ends, "it does not end"
            time.sleep(0.05)
        told: dict[str, Any] = found
        return told

    def undo(self, number: int) -> dict[str, Any]:
        self.served.say("/api/plan/undo", number=number)
        return self.outcome()


def make_music(folder: Path) -> None:
    """Two recordings with copies; the first has a front and a back cover, its copy another one, its folder a third."""
    music = folder / "music"
    make_files(music, FILES)
    write_tags(os.fsencode(music / "a.flac"), {"title": ("Title",)}, cover_of(FRONT))
    flac, back = FLAC(music / "a.flac"), FlacPicture()
    back.type, back.mime, back.data = 4, "image/png", BACK
    flac.add_picture(back)
    flac.save()
    write_tags(os.fsencode(music / "copies/a.mp3"), {"title": ("Title",)}, cover_of(OF_COPY))
    (music / "cover.tiff").write_bytes(IN_FOLDER)
    make_store(folder / "store", music, FILES)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("covers")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            patch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
        make_music(folder)
        yield folder


@pytest.fixture(scope="module")
def page(library: Path) -> Iterator[Page]:
    with serving(library / "store") as served:
        yield page_of(served, library)


def page_of(served: Served, folder: Path) -> Page:
    for group in re.findall(r'<a href="/groups/(\w{16})"', served.ask("/groups").text):
        for file in served.ask(f"/api/lineups/group/{group}").json()["files"]:
            if file["name"] == "a.flac":
                return Page(served, folder, group, file["id"])
    raise AssertionError("no such file")


def covers(path: Path) -> list[bytes]:
    return [cover.data for cover in read_tags(os.fsencode(path)).covers]


def image_of(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# ---- what there is ----


def test_pictures_of_the_file_its_copy_and_its_folder_are_offered(page: Page) -> None:
    found = [(each["origin"], each["format"], each["width"], each["height"], each["bytes"]) for each in page.pictures()]
    assert found == [
        ("own", "PNG", 300, 300, len(FRONT)),
        ("own", "PNG", 200, 150, len(BACK)),
        ("copy", "JPEG", 640, 480, len(OF_COPY)),
        ("folder", "TIFF", 900, 600, len(IN_FOLDER)),
    ]
    assert [each["holder"] for each in page.pictures()][2] == "copies/a.mp3"
    now = page.served.ask(page.address).json()["now"]
    assert now["id"] == page.pictures()[0]["id"] and now["text"].startswith("300 × 300 pixels")  # noqa: RUF001


def test_a_browser_gets_each_picture_as_a_jpeg_that_was_made_anew(page: Page) -> None:
    last = page.picture("folder")
    for side, width in (("small", 192), ("large", 900)):
        answer = page.served.ask(f"{page.address}/pictures/{last}/{side}")
        assert answer.headers["Content-Type"] == "image/jpeg" and image_of(answer.body).width == width
    told = page.served.ask(f"{page.address}/pictures/{last}").json()
    assert told == {"format": "TIFF", "width": 900, "height": 600}
    for wrong in (f"{last}/huge", "0" * 16, "..%2F..%2Fetc%2Fpasswd/small"):
        assert page.served.ask(f"{page.address}/pictures/{wrong}").status in (404, 409)


def test_the_page_names_the_file_and_leads_back(page: Page) -> None:
    text = page.served.ask(f"/cover/group/{page.group}/{page.track}").text
    assert "a.flac" in text and f'href="/groups/{page.group}"' in text
    assert page.served.ask(f"/cover/group/{page.group}/{'0' * 16}").status == 404
    assert page.served.ask(f"/api/covers/group/{'0' * 16}/{page.track}").status == 404


# ---- what is made ----


def test_what_is_made_is_what_was_asked_for(page: Page) -> None:
    copy = page.picture("copy")
    made = page.make(copy, crop=[100, 20, 400, 400], size=[200, 200], quality=80)
    assert (made["width"], made["height"]) == (200, 200) and made["source"]["box"] == [100, 20, 500, 420]
    image = image_of(page.jpeg(made["id"]))
    assert (image.format, image.size, made["bytes"]) == ("JPEG", (200, 200), len(page.jpeg(made["id"])))
    assert page.make(copy, fit=[100, 320])["width"] == 320
    assert page.make(copy, square=True)["source"]["box"] == [80, 0, 560, 480]
    assert page.jpeg(page.make(copy)["id"]) == OF_COPY


BAD: tuple[dict[str, Any], ...] = (
    {"picture": 1},
    {"crop": [1, 2, 3]},
    {"crop": ["1", 2, 3, 4]},
    {"crop": [True, 0, 1, 1]},
    {"size": [0.5, 1]},
    {"quality": "90"},
    {"trim": 1},
)


@pytest.mark.parametrize("edit", BAD, ids=str)
def test_an_edit_that_is_none_is_refused(page: Page, edit: dict[str, Any]) -> None:
    body = json.dumps({"picture": page.picture("own"), **edit}).encode()
    answer = page.served.ask(f"{page.address}/made", "POST", body)
    assert answer.status == 400 and "\n" not in answer.json()["error"]


def test_an_edit_that_makes_no_sense_is_told_in_a_line(page: Page) -> None:
    for edit, told in (
        ({"size": [1000, 1000]}, "nothing is enlarged"),
        ({"crop": [0, 0, 301, 10]}, "is not a part of it"),
        ({"fit": [9, 3]}, "smaller one first"),
        ({"size": [9, 9], "fit": [3, 9]}, "Give one of them"),
        ({"quality": 99}, "1 to 95"),
    ):
        body = json.dumps({"picture": page.picture("own"), **edit}).encode()
        answer = page.served.ask(f"{page.address}/made", "POST", body)
        assert answer.status == 409 and told in answer.json()["error"] and "\n" not in answer.json()["error"]


# ---- uploads ----


@pytest.mark.parametrize("kind", UPLOADS)
def test_an_upload_of_each_format_becomes_a_cover(page: Page, kind: str) -> None:
    image = noise(250, 200, len(kind))
    id_ = page.upload(saved(image, kind), UPLOADS[kind])
    assert re.fullmatch(r"upload-[0-9a-f]{16}", id_)
    found = page.pictures()[0]
    assert (found["id"], found["origin"], found["width"], found["height"]) == (id_, "upload", 250, 200)
    made = page.make(id_, square=True)
    assert image_of(page.jpeg(made["id"])).size == (200, 200)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (page.folder / "store/page").iterdir()} == {0o600}


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in a few kB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(3751) * 3000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


HOSTILE: dict[str, tuple[bytes, str, int, str]] = {
    "bomb": (bomb(), "image/png", 409, "at most 64 million are decoded"),
    "text": (b"<script>alert(1)</script>", "image/png", 409, "is not a JPEG, PNG, TIFF or WebP"),
    "vector": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 409, "is not a JPEG, PNG, TIFF or WebP"),
    "cut short": (saved(noise(200, 200), "JPEG")[:4000], "image/jpeg", 409, "damaged or cut short"),
    "empty": (b"", "image/png", 400, "empty"),
    "wrong type": (saved(noise(9, 9), "PNG"), "text/html", 415, "Choose a JPEG, PNG, TIFF or WebP"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_told_in_one_line(page: Page, name: str) -> None:
    data, kind, status, told = HOSTILE[name]
    before = sorted((page.folder / "store/page").glob("*"))
    answer = page.served.ask("/api/uploads", "POST", data, {"Content-Type": kind})
    assert answer.status == status and told in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert sorted((page.folder / "store/page").glob("*")) == before


def test_an_upload_that_is_too_large_or_from_elsewhere_is_refused(page: Page) -> None:
    kind = {"Content-Type": "image/png"}
    large = page.served.ask("/api/uploads", "POST", b"", kind | {"Content-Length": str(65 << 20)})
    assert large.status == 413 and "larger than the server accepts" in large.json()["error"]
    for body, headers in ((FRONT, {"Origin": "https://elsewhere.example"}), (FRONT, {"Cookie": None})):
        assert page.served.ask("/api/uploads", "POST", body, kind | headers).status in (401, 403)
    assert page.served.ask("/api/uploads").status == 405


@pytest.mark.long
def test_65_mib_of_unknown_length_end_the_upload(page: Page) -> None:
    chunk = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
    body, before = 65 * chunk + b"0\r\n\r\n", len(page.pictures())
    kind: dict[str, str | None] = {"Content-Type": "image/png", "Transfer-Encoding": "chunked"}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server does not wait for the rest
        assert page.served.ask("/api/uploads", "POST", body, kind).status == 413
    assert len(page.pictures()) == before


def test_uploads_are_bounded_in_number_and_age_and_end_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = Pictures(tmp_path / "page")
    monkeypatch.setattr("jobs.serve.pictures.MOST_UPLOADS", 2)
    ids = [pictures.take(saved(noise(8, 8, seed), "PNG")) for seed in range(3)]
    assert list(pictures.uploads()) == ids[:0:-1]
    assert len(list((tmp_path / "page").iterdir())) == 2
    now = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now + 3601)
        assert pictures.uploads() == {}
    left = tmp_path / "page" / "upload-00.part"
    left.write_bytes(b"of a server that was killed")
    os.utime(left, (0, 0))
    pictures.take(BACK)
    pictures.close()
    assert list((tmp_path / "page").iterdir()) == []


def test_pictures_in_memory_are_bounded() -> None:
    def made(n_bytes: int) -> Made:
        return Made(bytes(n_bytes), 1, 1, (1, 1), Box(0, 0, 1, 1), "PNG")

    kept = Kept(3, 100)
    for name in "abcd":
        kept.put(name, made(10))
    assert [name for name in "abcd" if kept.get(name)] == ["b", "c", "d"]
    assert kept.get("b")
    kept.put("e", made(85))
    assert [name for name in "bcde" if kept.get(name)] == ["b", "e"]
    kept.put("f", made(1000))
    assert [name for name in "bcdef" if kept.get(name)] == ["f"]


# ---- saving ----


def test_the_tag_has_the_very_jpeg_and_undo_gives_every_byte_back(page: Page) -> None:
    before = tree(page.music)
    made = page.make(page.picture("copy"), crop=[0, 0, 400, 400], size=[300, 300])
    told = page.save(made["id"])
    assert told == {"running": False, "text": "The cover is in the file.", "error": False, "number": told["number"]}
    assert covers(page.file) == [page.jpeg(made["id"])]
    assert [(picture.type, picture.data) for picture in FLAC(page.file).pictures if picture.type != 3] == [(4, BACK)]
    changed = {name for name, held in tree(page.music, times=False).items() if held[:1] != before[name][:1]}
    assert changed == {"a.flac"}
    assert page.served.ask(page.address).json()["now"]["id"] == made["id"]
    assert page.undo(told["number"])["text"] == "The cover is taken back."
    assert tree(page.music) == before


@pytest.mark.long
def test_what_is_done_already_is_told(page: Page) -> None:
    before, made = tree(page.music), page.make(page.picture("folder"))
    number = page.save(made["id"])["number"]
    assert page.save(made["id"]) == {
        **{"running": False, "text": "The file has this cover already."},
        **{"error": False, "number": None},
    }
    assert not page.undo(number)["error"] and tree(page.music) == before
    again = page.undo(number)
    assert again["error"] and "was taken back already" in again["text"]


def test_what_cannot_be_saved_says_why(page: Page) -> None:
    for body, status in ((b'{"made": 1}', 400), (b'{"made": "0000000000000000"}', 409), (b"[]", 400)):
        answer = page.served.ask(f"{page.address}/save", "POST", body)
        assert answer.status == status and "\n" not in answer.json()["error"]
    made = page.make(page.picture("copy"))["id"]
    with open_for_writing(page.folder / "store", "reprise full"):
        answer = page.served.ask(f"{page.address}/save", "POST", json.dumps({"made": made}).encode())
        assert answer.status == 409 and "full goes on" in answer.json()["error"]
    assert len(list((page.folder / "store/page").glob("cover-*.jpg"))) <= 3


@pytest.mark.long
def test_a_protected_file_keeps_its_cover(library: Path) -> None:
    before = tree(library / "music")
    with serving(library / "store", "--protect", str(library / "music")) as served:
        page = page_of(served, library)
        told = page.save(page.make(page.picture("copy"))["id"])
        assert told["error"] and "protected" in told["text"] and told["number"] is None
    assert tree(library / "music") == before


@pytest.mark.long
def test_a_decision_about_the_file_as_it_was_is_asked_for_again(tmp_path: Path) -> None:
    make_music(tmp_path)
    with serving(tmp_path / "store") as served:
        page = page_of(served, tmp_path)
        lineup, told = f"/api/lineups/group/{page.group}", "decide again afterwards"
        assert told not in served.ask(f"/cover/group/{page.group}/{page.track}").text
        served.say(f"/api/groups/{page.group}/answer", word="keep", kept=[page.track])
        assert told in served.ask(f"/cover/group/{page.group}/{page.track}").text
        page.save(page.make(page.picture("folder"))["id"])
        ends = time.monotonic() + WAIT_S
        while served.ask(lineup).json()["said"]:
            assert time.monotonic() < ends
            time.sleep(0.1)
        served.say(f"/api/groups/{page.group}/answer", word="keep", kept=[page.track])
        text = served.ask("/plan").text
        digest, count = (re.findall(f'data-{name}="([^"]*)"', text)[0] for name in ("digest", "count"))
        served.say("/api/plan/apply", digest=digest, count=int(count))
        while served.ask("/api/work").json()["job"] is not None:
            assert time.monotonic() < ends
            time.sleep(0.1)
        assert served.ask("/api/work").json()["ended"]["done"]["done"] == {"quarantine": 1}
        assert not (page.music / "copies/a.mp3").exists() and len(covers(page.file)) == 1


@pytest.mark.long
def test_a_kill_of_the_server_while_it_saves_leaves_the_file_whole(tmp_path: Path) -> None:
    make_music(tmp_path)
    before = tree(tmp_path / "music")
    with serving(tmp_path / "store") as served:
        page = page_of(served, tmp_path)
        page.upload(FRONT)
        made = page.make(page.picture("folder"))
        jpeg = page.jpeg(made["id"])
        served.say(f"{page.address}/save", made=made["id"])
        served.end(signal.SIGKILL)
    ends = time.monotonic() + WAIT_S
    while covers(page.file) != [jpeg] or is_locked(Layout(tmp_path / "store")):
        assert time.monotonic() < ends
        time.sleep(0.05)
    with serving(tmp_path / "store") as served:
        assert page_of(served, tmp_path).undo(1)["text"] == "The cover is taken back."
    assert tree(tmp_path / "music") == before
    with open_for_writing(tmp_path / "store", "test") as store:
        assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []


# ---- in a browser ----


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


def opened_at(opened: Tab, page: Page) -> None:
    opened.go(f"/groups/{page.group}")
    opened.page.get_by_role("link", name="Cover of a.flac").press("Enter")  # a click misses what moves meanwhile
    opened.until("document.querySelector('#after img')?.src && !document.querySelector('#after img').hidden")


def result(opened: Tab) -> Callable[[str], None]:
    def shows(text: str) -> None:
        opened.until(f"document.querySelector('#after').innerText.includes({json.dumps(text)})")

    return shows


@pytest.mark.long
def test_a_handle_is_dragged_and_the_cover_saved_and_taken_back(browser: Browser, page: Page) -> None:
    before = tree(page.music)
    with tab(browser, page.served) as opened:
        opened_at(opened, page)
        shows = result(opened)
        opened.page.locator(".picture", has_text="in a copy").click()
        shows("640 × 480")  # noqa: RUF001
        handle = opened.page.get_by_role("button", name="Bottom right corner: resize")
        handle.hover()
        box = opened.page.locator(".stage img").bounding_box()  # hovering may have scrolled
        assert box is not None
        opened.page.mouse.down()
        opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
        opened.page.mouse.up()
        shows("320 × 240")  # noqa: RUF001
        opened.page.get_by_label("Square (1:1)").check()
        shows("240 × 240")  # noqa: RUF001
        opened.page.get_by_role("button", name="Part to keep: move").focus()
        opened.press("ArrowRight", "Shift+ArrowRight")
        assert opened.page.locator("[name=left]").input_value() == str(40 + 6 + 1)
        opened.page.get_by_label("Exact width in pixels").fill("120")
        opened.page.get_by_label("Exact height in pixels").fill("120")
        opened.page.get_by_label("Exact height in pixels").blur()
        shows("120 × 120")  # noqa: RUF001
        opened.until("!document.querySelector('#save').disabled")
        opened.page.get_by_role("button", name="Save into the file").click()
        opened.until("document.querySelector('#outcome').textContent === 'The cover is in the file.'")
        [data] = covers(page.file)
        assert image_of(data).size == (120, 120)
        opened.page.get_by_role("button", name="Undo").click()
        opened.until("document.querySelector('#outcome').textContent === 'The cover is taken back.'")
        refused = [problem for problem in opened.problems if "409" in problem]  # 120 x 600 on the way to 120 x 120
        assert opened.problems == refused and opened.hosts == {page.served.host}
    assert tree(page.music) == before


@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_accessible_and_fits(browser: Browser, page: Page, width: int) -> None:
    with tab(browser, page.served, width=width, height=800) as opened:
        opened_at(opened, page)
        found = Axe().run(opened.page).response["violations"]
        assert [
            (each["id"], [node["html"] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ] == []
        assert opened.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert opened.problems == []


def touch(opened: Tab, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drags a finger."""
    session = opened.page.context.new_cdp_session(opened.page)
    points: list[tuple[str, list[tuple[float, float]]]] = [("touchStart", [start])]
    for step in range(1, 5):
        share = step / 4
        at = (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
        points.append(("touchMove", [at]))
    for kind, places in [*points, ("touchEnd", [])]:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in places]})


@pytest.mark.long
def test_a_finger_moves_a_handle_and_scrolls_over_the_picture(browser: Browser, page: Page) -> None:
    with tab(browser, page.served, width=390, height=700) as opened:
        opened_at(opened, page)
        opened.page.locator(".picture", has_text="in a copy").click()
        result(opened)("640 × 480")  # noqa: RUF001
        opened.page.locator(".stage").scroll_into_view_if_needed()
        box = opened.page.locator(".stage img").bounding_box()
        assert box is not None
        x, y, width, height = (box[name] for name in ("x", "y", "width", "height"))
        touch(opened, (x, y), (x + width / 4, y + height / 4))
        result(opened)("480 × 360")  # noqa: RUF001
        assert opened.page.locator("[name=left]").input_value() == "160"
        opened.page.get_by_role("button", name="Whole picture").click()
        result(opened)("640 × 480")  # noqa: RUF001
        opened.page.evaluate("scrollTo(0, 0)")
        opened.page.locator(".stage").scroll_into_view_if_needed()
        before = opened.page.evaluate("scrollY")
        box = opened.page.locator(".stage img").bounding_box()
        assert box is not None
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        touch(opened, middle, (middle[0], middle[1] - 120))
        opened.until(f"scrollY > {before} + 60")
        assert opened.page.locator("[name=top]").input_value() == "0"


@pytest.mark.long
def test_a_page_uploads_and_says_what_is_refused(browser: Browser, page: Page) -> None:
    with tab(browser, page.served, width=390, height=800) as opened:
        opened_at(opened, page)
        send = opened.page.locator("#upload").set_input_files
        send({"name": "x.webp", "mimeType": "image/webp", "buffer": saved(noise(320, 200), "WEBP")})
        result(opened)("320 × 200")  # noqa: RUF001
        send({"name": "x.txt", "mimeType": "text/plain", "buffer": b"text"})
        opened.until("document.querySelector('#status').textContent.startsWith('This is not a picture')")
        opened.page.locator("[value=size]").check()
        opened.until("document.querySelector('#after').innerText.includes('nothing is enlarged')")
        assert opened.page.locator("#save").is_disabled()
