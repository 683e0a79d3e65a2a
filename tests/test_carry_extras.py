"""What hangs off a copy besides tags and covers: chapters, cue points, lyrics, ratings, cue sheets. It is in the kept file
after a clean-up, or the copy stays and says why."""

from __future__ import annotations

import os
from pathlib import Path

import mutagen
import pytest
from mutagen.flac import FLAC
from mutagen.id3 import CHAP, CTOC, GEOB, ID3, POPM, SYLT, TIT2, USLT

from dedup.library.identity import stream_hash
from dedup.tags.read import read_tags
from tests.cleanups import carry_out, make_files, make_store, opened, plan_all, take_back, tree


def digests(path: Path) -> set[str]:
    return {held.extra.digest for held in read_tags(bytes(path)).extras}


def test_lyrics_and_chapters(tmp_path: Path) -> None:
    root, files = tmp_path / "music", {"a.mp3": 1, "b.mp3": 1}
    make_files(root, files)
    tags = ID3()
    tags.add(USLT(encoding=3, lang="deu", text="La\nla"))
    tags.add(CHAP(element_id="c1", start_time=0, end_time=500, start_offset=7, end_offset=8, sub_frames=[TIT2(text="One")]))
    tags.add(CHAP(element_id="c2", start_time=500, end_time=900, sub_frames=[TIT2(text="Two")]))
    tags.add(CTOC(element_id="toc", flags=3, child_element_ids=["c1", "c2"], sub_frames=[]))
    tags.save(root / "b.mp3")
    had, sound = digests(root / "b.mp3"), stream_hash(bytes(root / "a.mp3"))
    make_store(tmp_path / "store", root, files)
    before = tree(root)
    with opened(root) as store:
        plan = plan_all(store)
        print(plan.groups)
        done = carry_out(store, plan)
        assert done.refused == ()
        (kept,) = root.glob("*.mp3")
        assert had <= digests(kept)
        assert stream_hash(bytes(kept)) == sound
        take_back(store)
    assert tree(root) == before
