"""Import: every good line is taken, every bad one named by its number, whatever is in the file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.observer import Silent
from dedup.runner import Stop
from dedup.scan import imported as exchange
from dedup.scan.imported import RejectedLineError, import_fingerprints, parse_line
from dedup.store.items import SILENT_ITEM
from dedup.store.store import Store
from tests.stores import add_track, open_store, recording


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


def line(path: str = "/m/a.mp3", seed: int = 1, n_items: int = 100, **changes: Any) -> bytes:
    record = {"duration": 12.5, "fingerprint": recording(seed, n_items).tolist(), "path": path, **changes}
    return json.dumps(record).encode() + b"\n"


class Heard(Silent):
    """Remembers the problems it was told of."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, bytes, str]] = []
        self.n_lines = 0

    def problem(self, kind: str, path: bytes, reason: str) -> None:
        self.problems.append((kind, path, reason))

    def advance(self, n: int = 1) -> None:
        self.n_lines += n


def take(store: Store, *lines: bytes, stop: Stop | None = None) -> tuple[dict[str, int], Heard]:
    heard = Heard()
    counts = asdict(import_fingerprints(store, lines, 10.0, heard, stop or Stop()))
    assert counts["lines"] == sum(counts.values()) - counts["lines"] == heard.n_lines
    return {name: n for name, n in counts.items() if n}, heard


def paths(store: Store) -> list[bytes]:
    return [track.path for track in store.catalog.tracks.all()]


def test_good_lines_behave_as_scanned_tracks_whose_file_is_absent(store: Store):
    counts, heard = take(store, line("/m/b.mp3", 1), line("/m/a.mp3", 2))
    assert (counts, heard.problems) == ({"lines": 2, "imported": 2}, [])
    a, b = store.catalog.tracks.all()
    assert (a.path, b.path, a.state, b.state) == (b"/m/a.mp3", b"/m/b.mp3", "imported", "imported")
    assert json.loads(a.properties)["duration_s"] == 12.5
    audio = store.catalog.audios.get(a.audio)
    assert np.array_equal(store.items_of(audio.fingerprint), recording(2, 100))
    assert store.catalog.fingerprints.tail_length() == 0


def test_blank_lines_line_ends_and_a_byte_order_mark_do_not_matter(store: Store):
    lines = [b"\xef\xbb\xbf" + line("a"), b"\n", b"  \t\r\n", line("b").replace(b"\n", b"\r\n"), line("c").rstrip()]
    assert take(store, *lines)[0] == {"lines": 3, "imported": 3}


def test_an_empty_file(store: Store):
    assert take(store)[0] == take(store, b"\n", b"\n")[0] == {}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"fpcalc: error\n", "not JSON"),
        (b'{"path": "a", "finger\n', "not JSON"),
        (b"[1, 2]\n", "found list; write an object"),
        (b"null\n", "found NoneType; write an object"),
        (b"[" * 200_000 + b"\n", "nested too deep"),
        (b'{"fingerprint": ' + b"[" * 200_000, "nested too deep"),
        (b'{"path": "a"}', '"fingerprint" is missing or not a list'),
        (b'{"path": "a", "fingerprint": null}', '"fingerprint" is missing or not a list'),
        (line(fingerprint="AQADtNQYRYkS"), "run fpcalc with -raw"),
        (line(fingerprint=[1, 2.0]), '"fingerprint" holds 2.0; write whole numbers only'),
        (line(fingerprint=[1, True]), '"fingerprint" holds true;'),
        (line(fingerprint=["1"]), '"fingerprint" holds "1";'),
        (line(fingerprint=[1, None]), '"fingerprint" holds null;'),
        (line(fingerprint=[[1] * 999]), '"fingerprint" holds [1, 1, '),
        (line(fingerprint=[1, float("nan")]), '"fingerprint" holds NaN;'),
        (line(fingerprint=[5, -1]), '"fingerprint" holds -1; write numbers from 0 to 4294967295'),
        (line(fingerprint=[2**32, 5]), '"fingerprint" holds 4294967296; write numbers from 0 to 4294967295'),
        (line(fingerprint=[10**400]), '"fingerprint" holds 1000000'),
        (line().replace(b"12.5", b"1" * 5000), "not JSON: Exceeds the limit"),
        (line(duration="12"), '"duration" is "12"; write seconds as a number'),
        (line(duration=True), '"duration" is true'),
        (line(duration=-1), '"duration" is -1'),
        (line(duration=float("inf")), '"duration" is Infinity'),
        (line(duration=float("nan")), '"duration" is NaN'),
        (line().replace(b'"path"', b'"file"'), '"path" is missing'),
        (line(path=3), '"path" is 3; write a string'),
        (line(path=""), '"path" is ""; write the name of a file'),
        (line(path="a\0b"), "write the name of a file"),
        (line(path="\ud800"), r'"path" is "\ud800"; write the name of a file'),
        (line(path_hex="zz"), '"path_hex" is "zz"; write the name of a file'),
        (line(path_hex=""), '"path_hex" is ""'),
        (line(path_hex=None), '"path_hex" is null; write a string'),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_the_others_go_on(store: Store, bad: bytes, reason: str):
    counts, heard = take(store, line("a", 1), b"\n", bad, line("b", 2))
    assert counts == {"lines": 3, "imported": 2, "rejected": 1}
    ((kind, name, told),) = heard.problems
    assert (kind, name) == ("failed", b"line 3")
    assert reason in told
    assert len(told) < 200
    assert paths(store) == [b"a", b"b"]


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str).map(str.encode))
def test_no_line_is_too_strange_to_be_rejected(content: bytes):
    with pytest.raises(RejectedLineError):
        parse_line(content)


@given(st.binary(min_size=1, max_size=30).filter(lambda path: b"\0" not in path))
def test_a_path_is_bytes_however_it_is_written(path: bytes):
    text = path.decode("utf-8", "surrogateescape")
    escaped = json.dumps({"fingerprint": [1], "path": text}).encode()
    raw = json.dumps({"fingerprint": [1], "path": text}, ensure_ascii=False).encode("utf-8", "surrogateescape")
    in_hex = json.dumps({"fingerprint": [1], "path": "for reading", "path_hex": path.hex()}).encode()
    assert [parse_line(written)[0] for written in (escaped, raw, in_hex)] == [path] * 3


@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
def test_items_are_taken_as_they_are(items: list[int]):
    found = parse_line(json.dumps({"path": "a", "fingerprint": items}).encode())[2]
    assert (found.tolist(), found.dtype) == (items, np.uint32)


def test_what_is_too_short_or_silent_is_skipped(store: Store):
    counts, heard = take(store, line("short", n_items=80), line("silent", fingerprint=[SILENT_ITEM] * 200))
    assert counts == {"lines": 2, "skipped": 2}
    assert [(kind, path) for kind, path, _ in heard.problems] == [("skipped", b"short"), ("skipped", b"silent")]


def test_a_track_that_was_scanned_is_left_alone(store: Store):
    add_track(store, "a.mp3", recording(1, 100))
    before = list(store.catalog.tracks.all())
    assert take(store, line("/music/a.mp3", 2))[0] == {"lines": 1, "scanned": 1}
    assert list(store.catalog.tracks.all()) == before
    store.seal_tail()


def test_imported_again(store: Store):
    take(store, line("a", 1), line("b", 2))
    blocks = store.catalog.blocks.rows()
    assert take(store, line("a", 1), line("b", 2))[0] == {"lines": 2, "unchanged": 2}
    assert store.catalog.blocks.rows() == blocks
    assert take(store, line("a", 1), line("b", 3))[0] == {"lines": 2, "imported": 1, "unchanged": 1}
    audio = store.catalog.audios.get(store.catalog.tracks.get(b"b").audio)
    assert np.array_equal(store.items_of(audio.fingerprint), recording(3, 100))
    assert len(store.catalog.blocks.rows()) == 2


def test_of_the_lines_with_one_path_the_last_counts(store: Store):
    assert take(store, line("a", 1), line("a", 1), line("a", 2))[0] == {"lines": 3, "imported": 2, "unchanged": 1}
    (track,) = store.catalog.tracks.all()
    audio = store.catalog.audios.get(track.audio)
    assert np.array_equal(store.items_of(audio.fingerprint), recording(2, 100))


def test_a_stop_ends_after_the_chunk_in_hand_and_the_next_run_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "CHUNK_LINES", 4)
    lines = [line(f"{seed}", seed) for seed in range(10)]
    stop, drawn = Stop(), []

    def until_stopped() -> Iterator[bytes]:
        for text in lines:
            drawn.append(text)
            if len(drawn) == 6:
                stop.request("test")
            yield text

    counts = import_fingerprints(store, until_stopped(), 10.0, Silent(), stop)
    assert (counts.imported, len(drawn)) == (8, 8)
    assert store.catalog.fingerprints.tail_length() == 8
    assert take(store, *lines)[0] == {"lines": 10, "imported": 2, "unchanged": 8}


def test_lines_are_drawn_a_few_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Property: memory is constant: no more lines, and no more bytes, are held than a chunk has."""
    committed: list[int] = []

    class Watching(Silent):
        def advance(self, n: int = 1) -> None:
            committed.append(n)

    def lines() -> Iterator[bytes]:
        for number in range(9):
            assert number - sum(committed) < 4
            yield line(f"{number}", number)

    monkeypatch.setattr(exchange, "CHUNK_LINES", 4)
    import_fingerprints(store, lines(), 10.0, Watching(), Stop())
    assert committed == [4, 4, 1]
    monkeypatch.setattr(exchange, "CHUNK_BYTES", 2 * len(line()) - 50)
    committed.clear()
    import_fingerprints(store, lines(), 10.0, Watching(), Stop())
    assert committed == [2, 2, 2, 2, 1]


def test_a_source_that_breaks_off_loses_only_the_chunk_in_hand(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "CHUNK_LINES", 2)

    def breaking() -> Iterator[bytes]:
        yield from (line(f"{seed}", seed) for seed in range(3))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        import_fingerprints(store, breaking(), 10.0, Silent(), Stop())
    assert paths(store) == [b"0", b"1"]


def test_a_line_without_end_is_rejected_and_takes_no_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LONGEST_LINE", 1000)
    good = line("a", recording(1, 90))
    source = io.BytesIO(b"[" * 5000 + b"\n" + good[: 1000 - 7] + b"\n" + b"x" * 1000 + b"\n" + b"y" * 3003)
    lines = list(exchange.bounded_lines(source))
    assert [len(one) for one in lines] == [1001, 994, 1001, 1001]
    counts = import_fingerprints(store, lines, 10.0, Silent(), Stop())
    assert (counts.lines, counts.rejected) == (4, 4)
    with pytest.raises(RejectedLineError, match="longer than"):
        parse_line(lines[0])


def test_lines_are_read_whole_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LONGEST_LINE", 10)
    source = b"123456789\n\n1234567890\nshort"
    assert list(exchange.bounded_lines(io.BytesIO(source)))[:2] == [b"123456789\n", b"\n"]
    assert list(exchange.bounded_lines(io.BytesIO(source)))[-1] == b"short"


def test_a_fingerprint_of_more_than_ten_days_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST_ITEMS", 3)
    assert len(parse_line(b'{"path": "a", "fingerprint": [1, 2, 3]}')[2]) == 3
    with pytest.raises(RejectedLineError, match="4 items"):
        parse_line(b'{"path": "a", "fingerprint": [1, 2, 3, 4]}')
