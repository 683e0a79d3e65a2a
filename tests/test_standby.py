"""Processes that wait for the next call: one that ends, hangs or lies costs that call alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dedup.errors import InputError
from dedup.files.standby import Standby


class Sly:
    """What a process that a file has taken over may answer."""

    def __reduce__(self) -> tuple[Callable[[], str], tuple[()]]:
        return os.getcwd, ()


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@pytest.fixture(scope="module")
def standby() -> Iterator[Standby]:
    made = Standby(2)
    made.warm("json")
    yield made
    made.close()


def test_calls_are_answered_by_the_same_process(standby: Standby) -> None:
    assert standby.call("x", 10, os.getpid) == standby.call("y", 10, os.getpid) != os.getpid()


def test_what_a_call_raises_is_raised_here(standby: Standby) -> None:
    with pytest.raises(FileNotFoundError, match="nothing there"):
        standby.call("x", 10, os.stat, "nothing there")
    assert standby.call("x", 10, os.getcwd) == os.getcwd()


def test_a_process_that_ends_costs_one_call(standby: Standby) -> None:
    before = standby.call("x", 10, os.getpid)
    with pytest.raises(InputError, match=r"bad\.mp3: decoding ended the process"):
        standby.call("bad.mp3", 10, os.abort)
    assert standby.call("x", 10, os.getpid) != before


def test_a_process_that_hangs_costs_its_limit(standby: Standby) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match=r"decoding takes longer than 0\.2 s"):
        standby.call("slow.mp3", 0.2, time.sleep, 60)
    assert time.monotonic() - began < 10
    assert standby.call("x", 10, os.getcwd) == os.getcwd()


def test_an_answer_that_would_run_a_function_is_none(standby: Standby) -> None:
    with pytest.raises(InputError, match="no part of an answer"):
        standby.call("sly.mp3", 10, Sly)
    assert standby.call("x", 10, os.getcwd) == os.getcwd()


def test_two_work_at_the_same_time(standby: Standby) -> None:
    with ThreadPoolExecutor(2) as pool:
        pids = set(pool.map(lambda _: standby.call("x", 10, pid_after, 0.3), range(2)))
    assert len(pids) == 2
