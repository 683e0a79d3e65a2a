"""`reprise gate serve`: the API as other programs use it, who is let in, and what a kill costs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gate_music import make_music
from tests.gate_served import served

SONGS = 3


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library, a store of it, and in `new` two encodings of each of some songs."""
    base = make_music(tmp_path_factory.mktemp("served"), SONGS, 13.0)
    shutil.copy(base / "library" / "song.flac", base / "new" / "identical.flac")
    return base


@pytest.fixture
def store(music: Path, tmp_path: Path) -> Path:
    shutil.copytree(music / "store", tmp_path / "s")
    return tmp_path / "s"


def test_what_the_api_answers(music: Path, store: Path, tmp_path: Path) -> None:
    with served(store, "--socket", str(tmp_path / "gate")) as gate:
        assert (tmp_path / "gate").stat().st_mode & 0o177 == 0
        said = gate.check(music / "library" / "song.flac")
        assert (said["answer"], said["why"]) == ("known", "it is in the library already")
        first = gate.check(music / "new" / "0.flac")
        second = gate.check(music / "new" / "0.mp3")
        assert (first["answer"], second["answer"]) == ("import", "duplicate")
        assert second["copies"][0]["path"] == first["path"]
        assert gate.ask("GET", f"/v1/decisions/{first['id']}") == (200, first)
        status, later = gate.ask("POST", "/v1/check", {"path": str(music / "new" / "1.flac"), "wait_s": 0})
        assert status in (200, 202)
        status, later = gate.ask("GET", f"/v1/decisions/{later['id']}?wait_s=30")
        assert (status, later["answer"]) == (200, "import")
        assert gate.ask("GET", "/v1/queue") == (200, {"waiting": []})
        assert gate.ask("POST", "/v1/imported", {"id": first["id"]}) == (200, {"id": first["id"]})
        assert gate.ask("POST", "/v1/imported", {"path": first["path"]})[0] == 200
        assert gate.ask("POST", "/v1/imported", {"id": 999})[0] == 404
        assert gate.ask("GET", "/health")[1]["status"] == "ok"
        metrics = gate.ask("GET", "/metrics")[1]
        assert 'reprise_gate_answers_total{answer="import"} 2' in metrics
        assert "reprise_gate_reserved 2" in metrics
        document = gate.ask("GET", "/openapi.json")[1]
        assert set(document["paths"]) >= {"/v1/check", "/v1/decisions/{id}", "/v1/queue", "/v1/imported"}
        raw = os.fsencode(tmp_path) + b"/\xff.mp3"
        status, odd = gate.ask("POST", "/v1/check", {"path_hex": raw.hex()})
        assert (status, odd["answer"], bytes.fromhex(odd["path_hex"])) == (200, "unusable", raw)
        for body in ("", "[]", '{"path": "relative"}', '{"path": 7}', '{"path": "/a\\u0000b"}', '{"wait_s": 1}'):
            assert gate.ask("POST", "/v1/check", body)[0] == 400, body
        assert gate.ask("POST", "/v1/check", {"path": "/a", "wait_s": 1e9})[0] == 400
        for id_ in ("999999", "x", "-1", "9" * 30):
            assert gate.ask("GET", f"/v1/decisions/{id_}")[0] == 404
        gate.process.send_signal(signal.SIGTERM)
        assert gate.process.wait(20) == 130
    assert not (tmp_path / "gate").exists()


@pytest.mark.long
def test_what_arrives_in_an_inbox_is_told(music: Path, store: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    shutil.copy(music / "new" / "0.flac", inbox / "0.flac")
    options = ("--socket", str(tmp_path / "gate"), "--inbox", str(inbox), "--rest", "0")
    with served(store, *options) as gate:
        assert gate.process.stdout is not None
        (inbox / "more").mkdir()
        shutil.copy(music / "new" / "identical.flac", inbox / "more" / "x.flac")
        told = [json.loads(gate.process.stdout.readline()) for _ in range(2)]
        assert {Path(each["path"]).name: each["answer"] for each in told} == {"0.flac": "import", "x.flac": "duplicate"}
        assert gate.ask("GET", f"/v1/decisions/{told[0]['id']}")[1].items() <= told[0].items()


def test_a_file_may_be_sent(music: Path, store: Path, tmp_path: Path) -> None:
    """It is kept in the store until it is answered, under its own name, and no longer."""
    name, uploads = str(tmp_path / "gate"), store / "gate" / "uploads"
    sent = {"Content-Type": "audio/flac", "X-File-Name": "..%2F..%2Fa%20b%0A.flac"}
    copy, new = (music / "new" / each for each in ("identical.flac", "0.mp3"))
    with served(store, "--socket", name) as gate:
        status, said = gate.ask("POST", "/v1/check", copy.read_bytes(), **sent)
        assert (status, said["answer"]) == (200, "duplicate")
        assert Path(said["path"]).name == "a b\n.flac" and Path(said["path"]).parent.parent == uploads
        wait_until(lambda: not list(uploads.iterdir()))
        status, said = gate.ask("POST", "/v1/check?wait_s=60", new.read_bytes(), **{**sent, "X-File-Name": ".."})
        assert (status, said["answer"], Path(said["path"]).name) == (200, "import", "upload")
        assert gate.ask("POST", "/v1/imported", {"id": said["id"], "path": str(new)})[0] == 200
        assert gate.ask("POST", "/v1/check", b"", **sent)[1]["answer"] == "unusable"
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as cut:
            cut.connect(name)
            head = "POST /v1/check HTTP/1.1", "Host: x", "Content-Type: audio/flac", "Content-Length: 999", "", "abc"
            cut.sendall("\r\n".join(head).encode())
        huge = {**sent, "Content-Length": str(1 << 40)}
        assert gate.ask("POST", "/v1/check", b"", **huge)[0] == 413
        wait_until(lambda: not list(uploads.iterdir()))
        gate.process.kill()
        gate.process.wait()
    (uploads / "left").mkdir()
    with served(store, "--socket", name):
        wait_until(lambda: not list(uploads.iterdir()))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_port_needs_the_token_and_answers_no_page(store: Path) -> None:
    with served(store, "--port", "0") as gate:
        key = (store / "gate" / "token").read_text().strip()
        assert (store / "gate" / "token").stat().st_mode & 0o077 == 0
        let_in = {"Authorization": f"Bearer {key}"}
        assert gate.ask("GET", "/health", **let_in)[0] == 200
        assert gate.ask("GET", "/health")[0] == 401
        assert gate.ask("GET", "/health", Authorization="Bearer x")[0] == 401
        assert gate.ask("GET", "/health", **let_in, Host="evil.example")[0] == 421
        assert gate.ask("GET", "/health", **let_in, Origin="http://evil.example")[0] == 403
        with pytest.raises((http.client.HTTPException, OSError)):
            status, _ = gate.ask("POST", "/v1/check", {"path": "/" + "x" * 100_000}, **let_in)
            raise OSError(status)


@pytest.mark.long
def test_a_kill_costs_no_answer_and_gives_none_twice(music: Path, store: Path, tmp_path: Path) -> None:
    """While several files wait, of which two each hold one recording."""
    files, name = sorted((music / "new").glob("[0-9]*")), str(tmp_path / "gate")
    with served(store, "--socket", name) as gate:
        bodies = [{"path": str(file), "wait_s": 0} for file in files]
        with ThreadPoolExecutor(len(files)) as pool:
            waiting = [each for _, each in pool.map(lambda body: gate.ask("POST", "/v1/check", body), bodies)]
        gate.process.kill()
        gate.process.wait()
    with served(store, "--socket", name) as gate:
        said = [gate.ask("GET", f"/v1/decisions/{each['id']}?wait_s=60")[1] for each in waiting]
        assert [each["path"] for each in said] == list(map(str, files))
        imported = Counter(Path(each["path"]).stem for each in said if each["answer"] == "import")
        assert imported == {str(number): 1 for number in range(SONGS)}
        assert {each["answer"] for each in said} <= {"import", "duplicate", "better"}
        assert gate.ask("GET", "/v1/queue") == (200, {"waiting": []})
