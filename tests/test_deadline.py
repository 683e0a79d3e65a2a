"""When a run stops by itself: the next such local time, whatever the clock does, and what wins over what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.runner import Stop
from jobs.session import deadline
from jobs.session.deadline import Deadline, next_time


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clocks go from 2:00 to 3:00 on 29 March 2026, and from 3:00 to 2:00 on 25 October."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("clock", "now", "then"),
    [
        ("06:30", "2026-05-01T02:30+02:00", "2026-05-01T06:30+02:00"),
        ("06:30", "2026-05-01T06:29:59+02:00", "2026-05-01T06:30+02:00"),
        ("06:30", "2026-05-01T06:30+02:00", "2026-05-02T06:30+02:00"),  # now is not next
        ("02:00", "2026-12-31T22:00+01:00", "2027-01-01T02:00+01:00"),
        ("06:30", "2026-03-29T01:30+01:00", "2026-03-29T06:30+02:00"),  # four hours by a clock, not five
        ("02:30", "2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"),  # skipped: as much after the gap
        ("02:30", "2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"),
        ("06:30", "2026-10-25T01:30+02:00", "2026-10-25T06:30+01:00"),  # six hours
        ("02:30", "2026-10-25T01:30+02:00", "2026-10-25T02:30+02:00"),  # the first of two
        ("02:30", "2026-10-25T02:45+02:00", "2026-10-25T02:30+01:00"),  # the second
        ("02:30", "2026-10-25T02:45+01:00", "2026-10-26T02:30+01:00"),
    ],
)
def test_the_next_such_time(clock: str, now: str, then: str) -> None:
    assert next_time(clock, at(now)) == at(then)


@given(
    now=st.floats(at("2026-01-01T00:00+00:00"), at("2027-01-01T00:00+00:00")),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
)
def test_it_is_always_ahead_and_never_much_more_than_a_day(now: float, hour: int, minute: int) -> None:
    found = next_time(f"{hour:02d}:{minute:02d}", now)
    assert 0 < found - now <= 25 * 3600
    assert found % 60 == 0


def test_time_that_is_up_asks_for_a_stop_and_says_so() -> None:
    stop, told = Stop(), list[str]()
    with Deadline(stop, told.append, max_hours=0.05 / 3600) as limit:
        assert stop.event.wait(20)
    assert stop.time_is_up
    assert stop.reason == limit.reason == "time is up: it ran for 1.38889e-05 h"
    assert told == [f"{stop.reason}; finishing what is in flight"]


def test_of_both_the_earlier_counts() -> None:
    clock = time.strftime("%H:%M", time.localtime(time.time() - 3600))  # in 23 hours
    stop = Stop()
    with Deadline(stop, str, until=clock, max_hours=1e-9) as limit:
        assert stop.requested, "and one that is up already is up before anything begins"
    assert limit.reason == "time is up: it ran for 1e-09 h"


def test_a_time_of_day_is_looked_up_on_the_clock_of_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: a machine that slept past the time stops when it wakes, as it has been asleep by no monotonic clock."""
    monkeypatch.setattr(deadline, "LOOK_EVERY_S", 0.01)
    stop = Stop()
    with Deadline(stop, str, until="06:30") as limit:
        assert not stop.event.wait(0.05)
        later = time.time() + 25 * 3600
        monkeypatch.setattr(deadline.time, "time", lambda: later)
        assert stop.event.wait(20)
    assert limit.reason == "time is up: it is 06:30"


def test_who_asked_first_did_it() -> None:
    stop, told = Stop(), list[str]()
    stop.request("interrupted")
    with Deadline(stop, told.append, max_hours=1e-9):
        pass
    assert (stop.reason, stop.time_is_up, told) == ("interrupted", False, [])


def test_without_a_limit_nothing_is_asked_and_after_the_end_nothing_either() -> None:
    stop = Stop()
    with Deadline(stop, str) as none:
        pass
    with Deadline(stop, str, max_hours=0.1 / 3600) as ended:
        ended.end()
        time.sleep(0.15)
    assert (stop.requested, none.reason, ended.reason) == (False, "", "")
