"""Two files heard now, whatever a store knows of them."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dedup.files.host_paths import HostPath
from dedup.files.status import size_and_time
from dedup.groups.verdicts import heard
from dedup.nulltest.task import Side, compare_files
from dedup.store.nulltests import NullTest

if TYPE_CHECKING:
    from dedup.groups.explain import Explanation
    from dedup.nulltest.residual import Residual


class Heard(NamedTuple):
    """Two files after listening to them."""

    explained: Explanation
    """What they are to each other by their null test."""
    test: NullTest | None = None
    """Their null test; None if they do not agree like copies, or if one of them is not there."""
    residual: Residual | None = None
    """What only one of them has, over time, if it was asked for and the test could be made."""


def hear(explained: Explanation, time_limit_s: float, *, to_draw: bool = False) -> Heard:
    """Listens to two files that agree like copies; `to_draw` asks for the residual too."""
    match = explained.match
    if explained.verdict != "same recording" or match is None:
        return Heard(explained)
    try:
        a, b = _side(explained.a.path), _side(explained.b.path)
    except OSError:  # only the store knows it
        return Heard(explained)
    found = compare_files(a, b, match.lag_s, time_limit_s, to_draw=to_draw)
    if not explained.judged:
        explained = replace(explained, verdict=heard(found.test))
    return Heard(explained, found.test, found.residual)


def _side(path: bytes) -> Side:
    return HostPath(path), *size_and_time(os.stat(path)), nullcontext()
