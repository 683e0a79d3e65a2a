"""A look at a file in a process of its own: it has a limit of time, and costs one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dedup.errors import InputError
from dedup.library import look
from dedup.library.look import require_openable
from scripts.torture import hostile


def test_what_can_be_opened_or_is_refused_at_once_passes(tmp_path: Path) -> None:
    """Why a file cannot be opened is told by whoever opens it."""
    (tmp_path / "text.mp3").write_text("no audio")
    (tmp_path / "song.flac").write_bytes(hostile.make_song()["flac"])
    for name in ("text.mp3", "song.flac", "gone.mp3"):
        require_openable(os.fsencode(tmp_path / name))


@pytest.mark.long
def test_a_file_that_takes_ffmpeg_long_is_refused_in_time(tmp_path: Path) -> None:
    """FFmpeg compares each of its 150,000 comments with all before it."""
    hostile.ATTACKS["a FLAC with a million comments of a few letters"](tmp_path, hostile.make_song(), 0.15)
    with pytest.raises(InputError, match=r"opening it takes longer than 3 s"):
        require_openable(os.fsencode(tmp_path / "x.flac"), limit_s=3)


def test_a_file_that_ends_the_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "_LOOK", "import os; os.abort()  # {path}")
    with pytest.raises(InputError, match=r"opening it ends the process \(signal 6\)"):
        require_openable(os.fsencode(tmp_path / "x.flac"))
