"""Two files heard now, whatever a store knows of them."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from dedup.files.host_paths import HostPath
from dedup.files.status import size_and_time
from dedup.groups.matches import heard
from dedup.nulltest.task import Side, compare_files
from dedup.store.nulltests import NullTest

if TYPE_CHECKING:
    from dedup.groups.explain import Explanation


def hear(explained: Explanation, time_limit_s: float) -> tuple[Explanation, NullTest | None]:
    """The null test of two files that agree like copies, and what they are to each other by it; None if they do not, or
    if one of them is not there."""
    match = explained.match
    if explained.verdict != "same recording" or match is None:
        return explained, None
    try:
        a, b = _side(explained.a.path), _side(explained.b.path)
    except OSError:  # only the store knows it
        return explained, None
    test = compare_files(a, b, match.lag_s, time_limit_s).test
    return (explained if explained.judged else replace(explained, verdict=heard(test))), test


def _side(path: bytes) -> Side:
    return HostPath(path), *size_and_time(os.stat(path)), nullcontext()
