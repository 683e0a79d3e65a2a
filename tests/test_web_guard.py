"""The web page answers nobody but the browser that was given its address."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from jobs.serve import passphrase
from tests.browser import browsing
from tests.cleanups import FILES, make_files, make_store
from tests.web_server import REPO, Served, serving, start

HOSTILE = "<img src=x onerror=alert(1)> & \"'.flac"
MUSIC = {**FILES, HOSTILE: 3, f"copies/{HOSTILE}": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("guard")
    make_files(made / "music", MUSIC)
    make_store(made / "store", made / "music", MUSIC)
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(folder / "store") as server:
        yield server


def group_ids(server: Served) -> list[str]:
    text = server.ask("/groups").text
    return [part.partition('"')[0] for part in text.split('name="group" value="')[1:]]


PAGES = (
    "/",
    "/groups",
    "/uncertain",
    "/names",
    "/names/0",
    "/api/names/0/window",
    "/plan",
    "/trouble",
    "/quality",
    "/static/page.css",
    "/api/lineups/group/0",
    "/nothing",
)


@pytest.mark.parametrize("page", PAGES)
def test_without_the_cookie_there_is_nothing(served: Served, page: str) -> None:
    secret = served.cookie.partition("=")[2]
    for cookie in (
        None,
        "",
        f"reprise-{served.port}=wrong",
        f"reprise-1={secret}",
        "=;;=\x01",
    ):
        answer = served.ask(page, headers={"Cookie": cookie})
        assert answer.status == 401
        assert b"a.flac" not in answer.body and secret.encode() not in answer.body


def test_the_token_becomes_a_strict_cookie_and_leaves_the_address(served: Served) -> None:
    answer = served.enter()
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert "token" not in answer.headers["Location"]
    flags = answer.headers["Set-Cookie"].lower()
    assert "httponly" in flags and "samesite=strict" in flags
    assert served.ask("/groups").status == 200


@pytest.mark.parametrize("path", ["/?token=", "/?token=wrong", "/?token=%00", "/?token=a&token=b"])
def test_another_token_opens_nothing(served: Served, path: str) -> None:
    answer = served.ask(path, headers={"Cookie": None})
    assert answer.status == 401
    assert answer.headers["Set-Cookie"] is None


@pytest.mark.parametrize("path", ["//elsewhere.example/", "/\\elsewhere.example"])
def test_the_way_in_leads_nowhere_else(served: Served, path: str) -> None:
    token = served.address.partition("?")[2]
    answer = served.ask(f"{path}?{token}", headers={"Cookie": None})
    assert not (answer.headers["Location"] or "").startswith(("//", "/\\", "http"))


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "127.0.0.1", "127.0.0.1:1", "localhost.elsewhere.example:80", ""]
)
def test_another_name_is_not_answered(served: Served, host: str) -> None:
    """What a page does that has its own name lead to this machine (DNS rebinding)."""
    assert served.ask("/groups", headers={"Host": host}).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://elsewhere.example", "Content-Type": "text/plain"},
    ],
)
def test_a_request_from_another_site_changes_nothing(
    served: Served, folder: Path, headers: dict[str, str | None]
) -> None:
    group = group_ids(served)[0]
    said = json.dumps({"word": "keep all"}).encode()
    assert served.ask(f"/api/groups/{group}/answer", "POST", said, headers).status == 403
    assert not (folder / "store" / "review.json").exists()


def test_each_answer_has_the_headers_that_keep_a_page_to_itself(served: Served) -> None:
    for path in ("/groups", "/nothing", "/static/page.css", "/api/nothing"):
        for cookie in (served.cookie, None):
            headers = served.ask(path, headers={"Cookie": cookie}).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Server"] is None
            assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/static/../guard.py",
        "/static/%2e%2e/guard.py",
        "/static/..%2f..%2f..%2fpyproject.toml",
        "/api/lineups/group/..%2f..%2fetc%2fpasswd",
        "/api/lineups/file/%2fetc%2fpasswd",
        "/groups/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/lineups/group/" + "0" * 16 + "/tags",
    ],
)
def test_no_path_of_a_request_is_opened(served: Served, path: str) -> None:
    answer = served.ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.body and b"[project]" not in answer.body and b"class Guard" not in answer.body


def test_bodies_are_bounded(served: Served) -> None:
    group = group_ids(served)[0]
    told = {"Content-Length": str(1 << 40)}
    assert served.ask(f"/api/groups/{group}/answer", "POST", b"", told).status == 413
    assert served.ask(f"/api/groups/{group}/answer", "POST", b"", {"Content-Length": "-1"}).status in (400, 413)
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        head = (
            f"POST /api/groups/{group}/answer HTTP/1.1\r\nHost: {served.host}\r\nCookie: {served.cookie}\r\n"
            f"Origin: http://{served.host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        sent = 0
        try:
            while sent < 64 << 20 and not _has_answer(connection):
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass  # closed by the server
        assert sent < 16 << 20
    assert served.ask("/groups").status == 200


def _has_answer(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) is not None
    except BlockingIOError:
        return False
    finally:
        connection.setblocking(True)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"keep"', b'{"word": 1}', b'{"word": "delete"}', b'{"word": "keep", "kept": 7}',
     b'{"word": "keep", "kept": ["ffffffffffffffff"]}', b'{"word": "keep", "values": {"artist": "x"}}',
     b'{"word": "different", "different": ["../x"]}', b"[" * 100_000, b"\xff\xfe"],
)  # fmt: skip
def test_what_makes_no_sense_is_told_in_a_line(served: Served, folder: Path, body: bytes) -> None:
    answer = served.ask(f"/api/groups/{group_ids(served)[0]}/answer", "POST", body)
    assert answer.status == 400
    assert set(answer.json()) == {"error"} and "Traceback" not in answer.text
    assert not (folder / "store" / "review.json").exists()


def test_names_do_not_inject(served: Served) -> None:
    page = served.ask("/groups").text
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; &#34;&#39;.flac" in page


def test_only_this_machine_can_reach_it(served: Served) -> None:
    elsewhere = [each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    for address in {str(each) for each in elsewhere if not str(each).startswith("127.")}:
        with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            socket.create_connection((address, served.port), timeout=5)


def test_ctrl_c_ends_it_at_once(folder: Path) -> None:
    with serving(folder / "store") as server:
        server.ask("/groups")
        began = time.monotonic()
        assert server.end(signal.SIGINT) == 130
        assert time.monotonic() - began < 5


def test_a_port_that_is_taken_is_told(folder: Path, served: Served) -> None:
    process = start(folder / "store", "--port", str(served.port))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and json.loads(out)["exit_code"] == 2
    assert err.decode().count("\n") == 1 and "Give another port" in err.decode()


# ---- others of the network ----


@pytest.mark.long
def test_others_of_the_network_need_a_passphrase(folder: Path) -> None:
    process = start(folder / "store", "--host", "0.0.0.0")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "--set-passphrase" in err.decode()
    command = [sys.executable, "-m", "jobs", "serve", "--store", str(folder / "store"), "--set-passphrase"]
    told = subprocess.run(
        command, cwd=REPO, input=b"correct horse\ncorrect horse\n", capture_output=True, timeout=60, check=True
    )
    assert b"correct horse" not in told.stdout + told.stderr
    kept = folder / "store" / "web-passphrase"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and b"correct horse" not in kept.read_bytes()
    with serving(folder / "store", "--host", "0.0.0.0", enter=False) as server:
        assert server.ask("/groups").headers["Location"] == "/sign-in"
        assert server.ask("/api/lineups/group/0").status == 401
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        wrong = server.ask("/sign-in", "POST", b"passphrase=correct+hors", form)
        assert (wrong.status, wrong.headers["Set-Cookie"]) == (403, None)
        right = server.ask("/sign-in", "POST", b"passphrase=correct+horse", form)
        assert (right.status, right.headers["Location"]) == (303, "/")
        server.cookie = right.headers["Set-Cookie"].partition(";")[0]
        assert server.ask("/groups").status == 200
        statuses = [server.ask("/sign-in", "POST", b"passphrase=x", {**form, "Cookie": None}).status for _ in range(12)]
        assert statuses[-1] == 429 and statuses.count(403) <= passphrase.MOST_TRIES - 2
    assert b"TLS" in (
        server.process.stderr.read() if server.process.stderr and not server.process.stderr.closed else b"TLS"
    )


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    from dedup.errors import UsageError

    with pytest.raises(UsageError, match="characters"):
        passphrase.set_passphrase(tmp_path / "web-passphrase", "short")
    assert not list(tmp_path.iterdir())


LONG = "9" * 5000


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"/two/{LONG}-1.svg", None, 414),
        (f"/api/suspects/{LONG}", None, 414),
        (f"/two?a={LONG}&b=1", None, 200),
        ("/api/plan/apply", b"[" * 300_000, 400),
        ("/api/work/full", b"[" * 300_000, 400),
        ("/api/accept", b"[" * 300_000, 400),
    ],
)
def test_what_is_longer_or_deeper_than_any_request_is_refused(
    served: Served, path: str, body: bytes | None, status: int
) -> None:
    assert served.ask(path, "GET" if body is None else "POST", body).status == status


@pytest.mark.long
def test_no_command_line_has_the_token(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users of the machine see those of all processes, so also that of the browser that `--open` starts."""
    told, browser = tmp_path / "told", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$*" > {told}.part && mv {told}.part {told}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    with serving(folder / "store", "--open", enter=False) as server:
        deadline = time.monotonic() + 30
        while not told.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        given, token = told.read_text(), server.address.partition("token=")[2]
        assert given and token not in given
        leading = Path(unquote(urlsplit(given).path))
        assert server.address in leading.read_text()
        assert stat.S_IMODE(leading.stat().st_mode) == 0o600
        with browsing() as chromium:
            page = chromium.new_context().new_page()
            page.goto(given)
            page.wait_for_url(f"http://{server.host}/")
            assert page.title() == "Home · Reprise"
        server.end()
    assert not leading.exists()
