"""What hangs off a copy besides tags and covers is in the kept file after a clean-up, or the copy stays."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import mutagen
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEValue
from mutagen.flac import FLAC
from mutagen.flac import Picture as FlacPicture
from mutagen.id3 import APIC, GEOB, ID3, MCDI, POPM, PRIV, RVA2, TDTG, TIT2, TPE1, TRSN, TXXX, UFID, USLT, WPUB, WXXX
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm

from dedup.groups.matches import Matches
from dedup.library.identity import stream_hash
from dedup.observer import Silent
from dedup.plan.document import from_bytes, to_bytes
from dedup.plan.nouns import Plan, PlannedFile
from dedup.plan.review import review_of
from dedup.settings import KeepSettings, MatchSettings, PlanSettings
from dedup.store.nulltests import NullTest, parsed
from dedup.store.store import Store
from dedup.tags.extras import EXTRA_KINDS, Extra, Rating, Words, carried, family_of, lyrics_held, rating_held
from dedup.tags.read import read_tags
from dedup.tags.write import can_write, write_tags
from tests.audio_files import write_tone
from tests.cleanups import carry_out, make_files, make_store, opened, plan_all, take_back, tree
from tests.hanging import FIELDS, FRAMES, add_frames, chapters, cue_sheet_block, hang
from tests.tag_files import FORMATS, png, write_tones


def digests(path: Path | bytes) -> set[str]:
    return read_tags(os.fsencode(path)).digests


# ---- what a format can hold ----


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_holds_what_it_promises(kind: str, tones: dict[str, Path], tmp_path: Path) -> None:
    n_fitting = 0
    for source, names in (("mp3", FRAMES), ("flac", FIELDS)):
        for name in names:
            theirs = Path(shutil.copy(tones[source], tmp_path / f"theirs.{source}"))
            ours = Path(shutil.copy(tones[kind], tmp_path / tones[kind].name))
            sound = stream_hash(bytes(ours))
            hang(theirs, name)
            held = {each.extra: each for each in read_tags(bytes(theirs)).extras}
            assert held, name
            fitting = [held[extra] for extra in carried(held, (), family_of(bytes(ours)), is_aligned=True)]
            assert can_write(bytes(ours), fitting), name
            write_tags(bytes(ours), {"title": ["Title"]}, None, fitting)
            assert digests(ours) == {each.extra.digest for each in fitting}, name
            assert stream_hash(bytes(ours)) == sound
            n_fitting += len(fitting)
    assert n_fitting >= 9


def test_what_is_timed_needs_the_same_beginning() -> None:
    timed = Extra("chapters", "2 chapters", "a", "chapters"), Extra("cues", "Serato Markers2", "b", "id3")
    words = Extra("lyrics", "lyrics", "c", "lyrics")
    assert carried((*timed, words), (), "id3", is_aligned=True) == (*timed, words)
    assert carried((*timed, words), (), "id3", is_aligned=False) == (words,)
    assert carried((*timed, words), (), None, is_aligned=True) == ()


def test_one_place_is_given_once() -> None:
    one, same, other = (rating_held(Rating(who, value, 0)).extra for who, value in (("A", 1), ("a", 1), ("a", 2)))
    assert one.digest == same.digest != other.digest
    assert carried((one, same, other), (), "id3", True) == (one,)
    assert carried((one,), (other,), "id3", True) == ()


def test_an_object_without_a_name_takes_no_other_ones_place(tones: dict[str, Path], tmp_path: Path) -> None:
    ours, theirs = (Path(shutil.copy(tones["mp3"], tmp_path / name)) for name in ("ours.mp3", "theirs.mp3"))
    add_frames(ours, GEOB(encoding=3, mime="x", filename="a.bin", desc="", data=b"a"))
    add_frames(theirs, GEOB(encoding=3, mime="x", filename="b.bin", desc="", data=b"b"))
    before = digests(ours)
    write_tags(bytes(ours), {}, None, read_tags(bytes(theirs)).extras)
    assert digests(ours) == before | digests(theirs)


def test_lyrics_that_another_spelling_hides_are_seen_and_stay(tones: dict[str, Path], tmp_path: Path) -> None:
    file = Path(shutil.copy(tones["flac"], tmp_path / "a.flac"))
    tags = FLAC(file)
    tags.update({"LYRICS": ["one"], "UNSYNCEDLYRICS": ["two"]})
    tags.save()
    write_tags(bytes(file), {}, None, [lyrics_held(Words("three"))])
    assert digests(file) == {lyrics_held(Words(text)).extra.digest for text in ("one", "two", "three")}


def test_a_chapter_forgets_its_place_in_the_file(tones: dict[str, Path], tmp_path: Path) -> None:
    ours, theirs = (Path(shutil.copy(tones[kind], tmp_path / f"{kind}.mp3")) for kind in ("mp3-v23", "mp3"))
    hang(theirs, "chapters")
    assert {frame.start_offset for frame in ID3(theirs).getall("CHAP")} == {4711}
    write_tags(bytes(ours), {}, None, read_tags(bytes(theirs)).extras)
    assert {frame.start_offset for frame in ID3(ours).getall("CHAP")} == {0xFFFFFFFF}


# ---- plan, apply, undo ----


def library(folder: Path, files: dict[str, tuple[str, ...]]) -> Path:
    """Files of one recording, with sets of extras."""
    root = folder / "music"
    make_files(root, dict.fromkeys(files, 1))
    for name, hanging in files.items():
        if hanging:
            hang(root / name, *hanging)
    return root


def known(root: Path) -> Path:
    names = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    make_store(root.parent / "store", root, dict.fromkeys(names, 1))
    return root


def keeping(root: Path) -> KeepSettings:
    return KeepSettings(prefer=(os.fsencode(root / "kept"),))


def planned(root: Path, store: Store, **changes: Any) -> Plan:
    """A plan that keeps the file in "kept", as it comes back from its document."""
    plan = plan_all(store, keeping(root), PlanSettings(**changes))
    assert from_bytes(to_bytes(plan), "plan") == plan
    return plan


def others(root: Path, plan: Plan) -> dict[str, PlannedFile]:
    (group,) = plan.groups
    assert group.kept is not None
    assert group.kept.path.startswith(os.fsencode(root / "kept"))
    return {os.fsdecode(os.path.basename(file.path)): file for file in group.files[1:]}


def carries(root: Path, name: str) -> None:
    """The copy goes, the kept file has all that hung off it, and undo brings every byte back."""
    (kept,) = (root / "kept").iterdir()
    had, sound, before = digests(root / "old" / name) | digests(kept), stream_hash(bytes(kept)), tree(root)
    with opened(root) as store:
        plan = planned(root, store)
        assert others(root, plan)[name].action == "quarantine"
        assert carry_out(store, plan).refused == ()
        assert not (root / "old" / name).exists()
        assert digests(kept) == had
        assert stream_hash(bytes(kept)) == sound
        take_back(store)
    assert tree(root) == before


def stays(root: Path, name: str, rule: str, **changes: Any) -> PlannedFile:
    """The copy stays, and so does all that the kept file has."""
    before = tree(root)
    with opened(root) as store:
        plan = planned(root, store, **changes)
        copy = others(root, plan)[name]
        assert (copy.action, copy.rule) == ("leave", rule)
        carry_out(store, plan)
    assert (root / "old" / name).read_bytes() == before[f"old/{name}"][0]  # type: ignore[index]
    return copy


CARRIED = [
    (
        "mp3",
        "mp3",
        ("two languages", "chapters", "two ratings", "serato", "objects", "traktor", "cue sheet", "pictures"),
    ),
    ("mp3", "mp3", ("fields", "frames")),
    ("mp3", "m4a", ("fields",)),
    ("mp3", "flac", ("one letter",)),
    ("flac", "opus", ("fields",)),
    ("flac", "mp3", ("fields",)),
    ("mp3", "mp3", ("synchronised lyrics", "chapters with links", "rating", "pictures")),
    ("mp3", "flac", ("two languages", "chapters", "rating", "cue sheet", "pictures")),
    ("mp3", "ogg", ("lyrics", "pictures", "chapters", "two ratings", "cue sheet")),
    ("mp3", "m4a", ("two languages", "rating", "cue sheet")),
    ("mp3", "wv", ("two languages", "two ratings", "cue sheet")),
    ("mp3", "aiff", ("serato", "chapters", "rating", "synchronised lyrics")),
    ("flac", "mp3", ("lyrics", "chapters", "rating", "cue sheet")),
    ("flac", "flac", ("serato", "lyrics", "chapters")),
    ("flac", "opus", ("serato", "chapters", "cue sheet")),
    ("m4a", "mp3", ("lyrics", "chapters")),
    ("m4a", "m4a", ("lyrics", "serato")),
    ("mka", "flac", ("lyrics", "chapters")),
]


@pytest.mark.parametrize(("copy", "kept", "names"), CARRIED)
def test_what_the_kept_format_can_hold_is_carried_over(
    copy: str, kept: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    carries(known(library(tmp_path, {f"kept/a.{kept}": (), f"old/b.{copy}": names})), f"b.{copy}")


@pytest.mark.parametrize(
    ("copy", "kept", "name", "rule"),
    [
        ("mp3", "flac", "serato", "cues"),
        ("mp3", "flac", "synchronised lyrics", "lyrics"),
        ("mp3", "flac", "chapters with links", "chapters"),
        ("mp3", "m4a+serato", "chapters", "chapters"),
        ("flac", "mp3+traktor", "serato", "cues"),
        ("mp3", "mka", "lyrics", "lyrics"),
        ("mp3", "wv", "one letter", "attachments"),
    ],
)
def test_what_it_cannot_hold_is_the_reason_to_stay(copy: str, kept: str, name: str, rule: str, tmp_path: Path) -> None:
    kept, *own = kept.split("+")
    root = known(library(tmp_path, {f"kept/a.{kept}": tuple(own), f"old/b.{copy}": (name,)}))
    (extra,) = (held.extra for held in read_tags(bytes(root / f"old/b.{copy}")).extras)
    assert stays(root, f"b.{copy}", rule).why == extra.what


def test_a_cue_sheet_block_decides_which_file_is_kept(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.flac": ()})
    cue_sheet_block(root / "old/b.flac")
    with opened(known(root)) as store:
        kept = planned(root, store).groups[0].files[0]
    assert (kept.path, kept.rule) == (bytes(root / "old/b.flac"), "holds all")
    assert kept.why == "the kept file alone has: a cue sheet block"


def test_the_same_is_not_carried_twice_whatever_holds_it(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.flac": ("serato", "lyrics"), "old/b.mp3": ("serato", "lyrics")}))
    kept = (root / "kept/a.flac").read_bytes()
    with opened(root) as store:
        plan = planned(root, store)
        assert plan.groups[0].merge is not None
        assert plan.groups[0].merge.extras == ()
        carry_out(store, plan)
    assert not (root / "old/b.mp3").exists()
    assert (root / "kept/a.flac").read_bytes() == kept


@pytest.mark.parametrize("kind", EXTRA_KINDS)
def test_of_two_that_contradict_one_another_the_second_stays(kind: str, tmp_path: Path) -> None:
    frames: dict[str, tuple[list[Any], list[Any]]] = {
        "attachments": tuple([APIC(mime="x", type=1, desc=text, data=text.encode())] for text in "ab"),
        "chapters": (chapters(["One", "Two"]), chapters(["One", "Other"])),
        "cues": (FRAMES["serato"], [GEOB(encoding=0, mime="", filename="", desc="Serato Markers2", data=b"other")]),
        "lyrics": (FRAMES["lyrics"], [USLT(encoding=3, lang="eng", desc="", text="other")]),
        "ratings": (FRAMES["rating"], [POPM(email="INES@example.org", rating=100, count=7)]),
    }
    root = library(tmp_path, {"kept/a.mp3": (), "old/b.mp3": (), "old/c.mp3": (), "old/d.mp3": ()})
    for name, of_file in zip("bcd", (*frames[kind], frames[kind][0]), strict=True):
        add_frames(root / f"old/{name}.mp3", *of_file)
    there = {name: digests(root / f"old/{name}.mp3") for name in "bcd"}
    known(root)
    before = tree(root)
    with opened(root) as store:
        plan = planned(root, store)
        left = [name for name, file in others(root, plan).items() if file.action == "leave"]
        assert {others(root, plan)[name].rule for name in left} == {kind}
        assert len(left) in (1, 2)
        assert carry_out(store, plan).refused == ()
        kept = digests(root / "kept/a.mp3")
        assert all(not there[name[0]] <= kept for name in left)
        assert all(there[name] <= kept for name in "bcd" if f"{name}.mp3" not in left)
        take_back(store)
    assert tree(root) == before


def test_what_contradicts_the_kept_file_stays_unless_it_is_let_go(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.mp3": ("rating",), "old/b.mp3": ("lyrics",)})
    add_frames(root / "old/b.mp3", POPM(email="ines@example.org", rating=1, count=0))
    assert stays(known(root), "b.mp3", "ratings").why == "rating of ines@example.org"
    with opened(root) as store:
        assert carry_out(store, planned(root, store, let_go=("ratings",))).refused == ()
    (popm,) = ID3(root / "kept/a.mp3").getall("POPM")
    assert (popm.rating, popm.count) == (200, 7)
    assert ID3(root / "kept/a.mp3").getall("USLT")[0].text == "La\nla"


def test_chapters_are_not_carried_to_a_file_that_starts_at_another_moment(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ("chapters",), "old/c.mp3": ("lyrics",)}))
    with opened(root) as store, store.catalog.transaction():
        tests = list(store.catalog.nulltests.texts())
        store.catalog.nulltests.put((a, b, replace(parsed(text), lag_s=0.5)) for a, b, text in tests)
    assert NullTest(lag_s=0.5).swapped().lag_s == -0.5
    stays(root, "b.mp3", "chapters")
    assert not (root / "old/c.mp3").exists()
    assert digests(root / "kept/a.flac") == digests(root / ".reprise-quarantine/old/c.mp3")


def test_a_file_that_is_not_merged_into_gets_nothing(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.mp3": (), "old/b.mp3": ("lyrics",)}))
    assert stays(root, "b.mp3", "lyrics", merge=False).why == "lyrics"
    protected = replace(keeping(root), protect=(os.fsencode(root / "kept"),))
    with opened(root) as store:
        plan = plan_all(store, protected)
        assert others(root, plan)["b.mp3"].rule == "lyrics"


def test_what_goes_by_an_answer_leaves_what_can_be_carried(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ("serato", "lyrics")}))
    with opened(root) as store:
        matches = Matches(store, MatchSettings())
        review = review_of(store, matches, keeping(root), PlanSettings(), None, False, Silent())
        question = review.next()
        assert question is not None
        assert question.planned.files[1].rule == "cues"
        review.put(question, review.keeping(question, question.planned.files[0].path, {}, let_go=True))
        assert carry_out(store, review.plan()).refused == ()
    assert [held.extra.what for held in read_tags(bytes(root / "kept/a.flac")).extras] == ["lyrics"]
    assert not (root / "old/b.mp3").exists()


# ---- further streams ----


def with_stream(sound: Path, path: Path, more: str, content: str) -> None:
    """A Matroska file of this sound, with a further stream of the same language or name whatever its content is."""
    extra = sound.parents[2] / {"subtitles": "x.srt", "attachments": "booklet.txt", "tracks": "x.wav"}[more]
    if more == "tracks":
        write_tone(extra, 0.5, seed=len(content))
    else:
        extra.write_text(f"1\n00:00:00,000 --> 00:00:00,500\n{content}\n")
    with_it = ["-attach", extra, "-metadata:s:t", "mimetype=text/plain"] if more == "attachments" else ["-i", extra]
    maps = ["-map", "0:a"] + (["-map", "1", "-c:s", "srt"] if more != "attachments" else [])
    language = [] if more == "attachments" else ["-metadata:s:1", "language=deu"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", sound, *with_it, *maps, *language, path], check=True)
    sound.unlink()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
@pytest.mark.parametrize("more", ["tracks", "subtitles", "attachments"])
def test_streams_that_are_only_named_alike_are_no_copies(more: str, tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ()})
    with_stream(root / "kept/a.flac", root / "kept/a.mka", more, "short")
    with_stream(root / "old/b.mp3", root / "old/b.mka", more, "a very long and unique text")
    label = "booklet.txt" if more == "attachments" else "deu"
    assert stays(known(root), "b.mka", more).why.endswith(f", {label}")


# ---- ID3 in front of FLAC ----


def id3_before(path: Path, *frames: Any) -> None:
    """Puts an ID3 tag in front of a FLAC file, as old rippers did."""
    tag, sound = path.with_suffix(".id3"), path.read_bytes()
    tags = ID3()
    for frame in frames:
        tags.add(frame)
    tags.save(tag)
    path.write_bytes(tag.read_bytes() + sound)
    tag.unlink()


def test_an_id3_tag_in_front_of_flac_is_read_and_stays(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.flac": (), "old/c.mp3": ()})
    id3_before(root / "kept/a.flac", TIT2(encoding=3, text=["Ours"]))
    id3_before(root / "old/b.flac", *FRAMES["lyrics"], *FRAMES["rating"], TPE1(encoding=3, text=["Ines"]))
    write_tags(bytes(root / "old/c.mp3"), {"title": ["Theirs"]})
    carries(known(root), "b.flac")
    with opened(root) as store:
        carry_out(store, planned(root, store))
    kept = read_tags(bytes(root / "kept/a.flac"))
    assert (kept.fields["title"], kept.fields["artist"], kept.fields["lyrics"]) == (("Ours",), ("Ines",), ("La\nla",))
    assert ID3(root / "kept/a.flac").getall("TIT2") == ["Ours"]


def test_a_frame_in_front_of_flac_that_has_no_place_keeps_the_copy(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": ("lyrics", "serato"), "old/b.flac": ()})
    id3_before(root / "old/b.flac", *FRAMES["synchronised lyrics"])
    id3_before(root / "kept/a.flac", *FRAMES["objects"])
    assert stays(known(root), "b.flac", "lyrics").why.startswith("synchronised lyrics")


# ---- what nobody here understands ----


def test_frames_that_have_no_place_keep_the_copy(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": ("serato",), "old/b.mp3": ("frames",)})
    file = stays(known(root), "b.mp3", "attachments")
    assert {loss.what for loss in file.lost} == {
        "ID3 frame PRIV (me@home)",
        "ID3 frame UFID (http://db.example)",
        "ID3 frame WXXX (Läden)",
        "ID3 frame USER",
        "ID3 frame OWNE",
        "ID3 frame ETCO",
        "ID3 frame COMM (ä)",
    }


def test_what_describes_the_file_keeps_no_copy(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ()})
    add_frames(
        root / "old/b.mp3",
        MCDI(data=b"toc"),
        PRIV(owner="WM/MediaClassPrimaryID", data=b"x"),
        UFID(owner="http://www.cddb.com/id3/taginfo1.html", data=b"3CD"),
        TDTG(encoding=3, text=["2001"]),
        RVA2(desc="track", channel=1, gain=-3.0, peak=0.5),
    )
    assert read_tags(bytes(root / "old/b.mp3")).extras == ()


def test_fields_that_only_one_format_knows_are_carried_over(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.mp3": (), "old/c.m4a": ()})
    add_frames(
        root / "old/b.mp3",
        WXXX(encoding=3, desc="Shop", url="http://x.example/1"),
        WPUB(url="http://label.example"),
        TRSN(encoding=3, text=["Radio Ines"]),
        TXXX(encoding=3, desc="SOURCE", text=["my own tape"]),
    )
    file = MP4(root / "old/c.m4a")
    file["\xa9nrt"] = ["Pia"]
    file["----:org.example:MY NOTE"] = [MP4FreeForm(b"of 1974")]
    file.save()
    with opened(known(root)) as store:
        assert carry_out(store, planned(root, store)).refused == ()
    assert os.listdir(root / "old") == []
    assert (
        read_tags(bytes(root / "kept/a.flac")).fields.items()
        >= {
            "url:shop": ("http://x.example/1",),
            "publisherurl": ("http://label.example",),
            "radiostation": ("Radio Ines",),
            "source": ("my own tape",),
            "narrator": ("Pia",),
            "my note": ("of 1974",),
        }.items()
    )


def test_binary_data_stays_with_its_format(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.m4a": (), "kept/a.wv": (), "old/b.m4a": (), "old/b.wv": ()})
    for name in ("b.m4a", "b.wv"):
        file = mutagen.File(root / "old" / name)
        if name == "b.wv":
            file["Shape"] = APEValue(b"\xff\xfe", 1)
        else:
            file["----:com.apple.iTunes:noise"] = [MP4FreeForm(b"\xff\xfe")]
            file["----:com.apple.iTunes:Encoding Params"] = [MP4FreeForm(b"vers\0\0\0\1acbf\xf4")]
        file.save()
        ours, theirs = bytes(root / "kept" / name.replace("b", "a")), read_tags(bytes(root / "old" / name)).extras
        (extra,) = (held.extra for held in theirs)
        assert (extra.kind, carried([extra], (), "vorbis", True)) == ("attachments", ())
        write_tags(ours, {}, None, theirs)
        assert read_tags(ours).extras[0].extra == extra


# ---- chunks ----


def add_chunks(path: Path, *chunks: tuple[bytes, bytes]) -> None:
    """Appends chunks to a WAV or AIFF file."""
    data = path.read_bytes()
    order = "<" if data[:4] == b"RIFF" else ">"
    for kind, content in chunks:
        data += kind + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)
    path.write_bytes(data[:4] + struct.pack(f"{order}I", len(data) - 8) + data[8:])


CUE = b"cue ", struct.pack("<IIIIIII", 1, 1, 4410, int.from_bytes(b"data", "little"), 0, 0, 4410)
LABEL = b"LIST", b"adtl" + b"labl" + struct.pack("<II", 10, 1) + b"Verse\0"
MARK = b"MARK", struct.pack(">HHI", 1, 1, 4410) + b"\5Verse"


@pytest.mark.parametrize(
    ("kind", "chunks", "why"),
    [
        ("wav", [CUE, LABEL], "markers"),
        ("wav", [(b"bext", b"Interview with grandma".ljust(602, b"\0"))], "broadcast metadata"),
        ("wav", [(b"iXML", b"<BWFXML><NOTE>take 7</NOTE></BWFXML>")], "broadcast metadata"),
        ("aiff", [MARK], "markers"),
    ],
)
def test_chunks_for_which_tags_have_no_place_keep_the_copy(
    kind: str, chunks: list[tuple[bytes, bytes]], why: str, tmp_path: Path
) -> None:
    root = library(tmp_path, {"kept/a.flac": ("serato",), f"old/b.{kind}": (), f"old/c.{kind}": ()})
    add_chunks(root / f"old/b.{kind}", *chunks)
    add_chunks(root / f"old/c.{kind}", (b"cue " if kind == "wav" else b"MARK", bytes(4)))
    assert stays(known(root), f"b.{kind}", "cues").why == why
    assert not (root / f"old/c.{kind}").exists()


def test_texts_in_chunks_are_carried_over(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.aiff": (), "old/c.wav": ()})
    add_chunks(root / "old/b.aiff", (b"NAME", b"Title"), (b"ANNO", b"of 1974"))
    add_chunks(root / "old/c.wav", (b"LIST", b"INFO" + b"ISRC" + struct.pack("<I", 8) + b"my tape\0"))
    with opened(known(root)) as store:
        assert carry_out(store, planned(root, store)).refused == ()
    told = {"title": ("Title",), "comment": ("of 1974",), "source": ("my tape",)}
    assert read_tags(bytes(root / "kept/a.flac")).fields.items() >= told.items()


# ---- pictures ----


def picture(path: Path, *kinds: int, size: int = 300) -> None:
    """Gives the file pictures of these types that no other file has."""
    data = {kind: png(size, size, f"{path} {kind}".encode()) for kind in kinds}
    if path.suffix == ".m4a":
        file = MP4(path)
        file["covr"] = [MP4Cover(each, MP4Cover.FORMAT_PNG) for each in data.values()]
        file.save()
    elif path.suffix == ".flac":
        flac = FLAC(path)
        for kind in kinds:
            made = FlacPicture()
            made.type, made.mime, made.data = kind, "image/png", data[kind]
            flac.add_picture(made)
        flac.save()
    else:
        add_frames(path, *(APIC(mime="image/png", type=kind, desc=str(kind), data=data[kind]) for kind in kinds))


def kinds_in(path: Path) -> list[int]:
    return sorted(int(picture.type) for picture in FLAC(path).pictures)


FRONT, BACK, BOOKLET, ARTIST = 3, 4, 5, 8


@pytest.mark.parametrize(
    ("own", "theirs", "then"),
    [
        ((FRONT,), (FRONT, BACK, BOOKLET, ARTIST), [FRONT, BACK, BOOKLET, ARTIST]),
        ((), (BACK,), [BACK]),
        ((1,), (FRONT,), [1, FRONT]),
        ((FRONT,), (FRONT,), [FRONT]),
        ((FRONT,), (0,), [FRONT]),
        ((), (0,), [FRONT]),
        ((BACK,), (0, BACK), [FRONT, BACK, BACK]),
    ],
)
def test_pictures_keep_their_types(own: tuple[int, ...], theirs: tuple[int, ...], then: list[int], tmp_path: Path):
    root = library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ()})
    picture(root / "kept/a.flac", *own)
    picture(root / "old/b.mp3", *theirs)
    known(root)
    before = tree(root)
    with opened(root) as store:
        assert carry_out(store, planned(root, store)).refused == ()
        assert not (root / "old/b.mp3").exists()
        assert kinds_in(root / "kept/a.flac") == then
        if then != list(own):
            take_back(store)
            assert tree(root) == before


def test_a_tiny_cover_gives_way_to_a_good_one(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ()})
    picture(root / "kept/a.flac", FRONT, size=20)
    picture(root / "old/b.mp3", FRONT, size=1400)
    known(root)
    with opened(root) as store:
        assert carry_out(store, planned(root, store)).refused == ()
    assert [cover.width for cover in read_tags(bytes(root / "kept/a.flac")).covers] == [1400]


def test_a_picture_that_has_no_place_keeps_the_copy(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.m4a": ("lyrics", "serato"), "old/b.mp3": (), "old/c.mp3": ()})
    picture(root / "kept/a.m4a", FRONT)
    picture(root / "old/b.mp3", FRONT, BACK)
    picture(root / "old/c.mp3", FRONT)
    assert stays(known(root), "b.mp3", "attachments").why == "back cover (4)"
    assert not (root / "old/c.mp3").exists()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
def test_pictures_attached_to_matroska_are_carried_over(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ()})
    attached = []
    for name, colour in (("scan.png", "red"), ("cover.png", "blue")):
        image = tmp_path / name
        drawn = ["-f", "lavfi", "-i", f"color={colour}:s=200x200", "-frames:v", "1", image]
        subprocess.run(["ffmpeg", "-v", "error", "-y", *drawn], check=True)
        attached += ["-attach", str(image)]
    typed = [text for number in (0, 1) for text in (f"-metadata:s:t:{number}", "mimetype=image/png")]
    sound = root / "old/b.mp3"
    subprocess.run(["ffmpeg", "-v", "error", "-i", sound, *attached, *typed, root / "old/b.mka"], check=True)
    sound.unlink()
    carries(known(root), "b.mka")
    with opened(root) as store:
        carry_out(store, planned(root, store))
    there = {(int(each.type), each.desc, each.data) for each in FLAC(root / "kept/a.flac").pictures}
    assert there == {
        (3, "", (tmp_path / "cover.png").read_bytes()),
        (0, "scan.png", (tmp_path / "scan.png").read_bytes()),
    }


# ---- between plan and apply ----


def refused(root: Path, store: Store, plan: Plan, protect: tuple[bytes, ...] = ()) -> str:
    """Why the one copy is refused; all files stay as they are."""
    before = tree(root)
    (refusal,) = carry_out(store, plan, protect).refused
    assert tree(root) == before
    return refusal.reason


def test_what_is_taken_out_of_the_plan_keeps_the_copy(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.mp3": (), "old/b.mp3": ("lyrics", "chapters")}))
    with opened(root) as store:
        plan = planned(root, store)
        (group,) = plan.groups
        assert group.merge is not None
        without = replace(group.merge, extras=group.merge.extras[1:])
        for merge in (without, None, replace(group.merge, into=b"/another")):
            told = refused(root, store, replace(plan, groups=(replace(group, merge=merge),)))
            assert "it holds what the kept file lacks, and its entry is not as `reprise plan` wrote it: " in told
        told = refused(root, store, plan, protect=(os.fsencode(root / "kept"),))
        assert "it holds what the kept file lacks" in told


def test_what_came_since_the_last_scan_is_seen(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ("lyrics",)}))
    copy = root / "old/b.mp3"
    with opened(root) as store:
        plan = planned(root, store)
        status = copy.stat()
        tags = ID3(copy)
        tags.add(USLT(encoding=3, lang="eng", desc="", text="li\nli"))
        tags.save(padding=lambda info: info.padding)
        assert copy.stat().st_size == status.st_size
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert "it holds what the kept file lacks" in refused(root, store, plan)


def test_a_plan_sees_what_the_last_scan_did_not(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.flac": ("lyrics",), "old/b.mp3": ()}))
    copy = root / "old/b.mp3"
    add_frames(copy, USLT(encoding=3, lang="eng", desc="", text="li\nli"))
    with opened(root) as store:
        file = others(root, planned(root, store))["b.mp3"]
        assert (file.action, file.rule, [loss.kind for loss in file.lost]) == ("leave", "lyrics", ["lyrics"])


def test_what_a_file_no_longer_has_is_not_carried_and_nothing_goes(tmp_path: Path) -> None:
    root = known(library(tmp_path, {"kept/a.mp3": (), "old/b.mp3": ("lyrics",)}))
    with opened(root) as store:
        plan = planned(root, store)
        (group,) = plan.groups
        assert group.merge is not None
        (extra,) = group.merge.extras
        edited = replace(group.merge, extras=(extra, replace(extra, digest="0" * 16)))
        told = refused(root, store, replace(plan, groups=(replace(group, merge=edited),)))
        assert "no longer has lyrics" in told


def test_tags_that_turn_out_not_to_hold_it_keep_the_copy(tmp_path: Path) -> None:
    root = library(tmp_path, {"kept/a.flac": (), "old/b.mp3": ("serato",)})
    (root / "kept/a.flac").rename(root / "kept/a.mp3")  # a wrong name
    copy = stays(known(root), "b.mp3", "tags")
    assert "cannot be written to the kept file" in copy.why


# ---- whatever hangs off whatever ----

NAMES = {"mp3": sorted(FRAMES), "flac": sorted(FIELDS), "ogg": sorted(FIELDS), "m4a": ["lyrics", "serato"]}


@st.composite
def libraries(draw: Any) -> dict[str, tuple[tuple[str, ...], int]]:
    """Files with sets of extras, and a number by which lyrics, ratings and chapters differ."""
    files = {}
    for number in range(draw(st.integers(2, 4))):
        kind = draw(st.sampled_from(sorted(NAMES)))
        names = draw(st.lists(st.sampled_from(NAMES[kind]), max_size=3, unique=True))
        folder = "kept" if number == 0 else "old"
        files[f"{folder}/{number}.{kind}"] = tuple(names), draw(st.integers(0, 2))
    return files


def nothing_is_lost(files: dict[str, tuple[tuple[str, ...], int]]) -> int:
    """Number of files that went."""
    with tempfile.TemporaryDirectory() as folder:
        root = library(Path(folder), {name: names for name, (names, _) in files.items()})
        for name, (_, number) in files.items():
            if number and name.endswith(".mp3"):
                add_frames(root / name, USLT(encoding=3, lang="eng", desc="", text=str(number)), *chapters(str(number)))
            elif number:
                write_tags(os.fsencode(root / name), {"lyrics": [str(number)], "popm:x": [f"{number} 0 x"]})
        had = {name: digests(root / name) for name in files}
        known(root)
        before = tree(root)
        with opened(root) as store:
            plan = plan_all(store, keeping(root))
            assert carry_out(store, plan).refused == ()
            for group in plan.groups:
                assert group.kept is not None
                there = digests(group.kept.path)
                for file in group.files:
                    name = os.path.relpath(os.fsdecode(file.path), root)
                    assert had[name] <= there if not (root / name).exists() else had[name] <= digests(root / name)
            n_gone = sum(not (root / name).exists() for name in files)
            if n_gone:
                take_back(store)
        assert tree(root) == before
    return n_gone


@settings(max_examples=8)
@given(libraries())
def test_nothing_is_lost(files: dict[str, tuple[tuple[str, ...], int]]) -> None:
    nothing_is_lost(files)


@pytest.mark.long
@settings(max_examples=int(os.environ.get("REPRISE_CLEANUPS", "60")))
@given(libraries())
def test_nothing_is_ever_lost(files: dict[str, tuple[tuple[str, ...], int]]) -> None:
    nothing_is_lost(files)
