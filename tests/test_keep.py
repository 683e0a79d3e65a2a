"""Keep rules: which copy is kept, by which criterion, and that nothing else decides."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.declaration import settings_of
from dedup.errors import UsageError
from dedup.groups.albums import Albums
from dedup.groups.criteria import RULES
from dedup.groups.keep import BEST, RULE_NAMES, keep_rules, rule_names
from dedup.groups.matches import ListedTrack
from dedup.settings import KeepSettings
from tests.made_tracks import track

FLAC = {"codec": "flac", "lossless": True, "bits": 16}


@pytest.mark.parametrize(
    ("rule", "better", "worse", "why"),
    [
        (
            "band",
            {"codec": "mp3", "sample_rate": 44_100},
            {**FLAC, "sample_rate": 8_000},
            "44,100 Hz, the other 8,000 Hz",
        ),
        ("lossless", FLAC, {"codec": "mp3", "bitrate": 999_000}, "flac, the other mp3"),
        ("lossless", {"codec": "alac", "lossless": True}, {"codec": "aac"}, "alac, the other aac"),
        ("bits", {"bits": 24}, {"bits": 16}, "24 bits, the other 16 bits"),
        ("rate", {"sample_rate": 44_100}, {"sample_rate": 22_050}, "44,100 Hz, the other 22,050 Hz"),
        ("rate", {**FLAC, "sample_rate": 96_000}, {**FLAC, "sample_rate": 48_000}, "96,000 Hz, the other 48,000 Hz"),
        ("channels", {"channels": 2}, {"channels": 1}, "2 channels, the other 1 channel"),
        ("bitrate", {"bitrate": 320_000}, {"bitrate": 128_400}, "320 kbit/s, the other 128 kbit/s"),
        ("bitrate", {**FLAC, "bitrate": 300_000}, {"bitrate": 320_000}, "lossless, the other 320 kbit/s"),
        ("length", {"duration_s": 225.4}, {"duration_s": 220.0}, "3:45, the other 3:40"),
        (
            "tags",
            {"tags": {"title": ("A",), "artist": ("B",)}},
            {"tags": {"title": ("A",)}},
            "2 tags, the other 1 tag",
        ),
        (
            "tags",
            {"tags": {"title": ("A",), "label": ("B",), "rating": ("0.8",)}},
            {"tags": {"title": ("A",), "artist": ("B",)}},
            "3 tags, the other 2 tags",
        ),
        ("cover", {"has_cover": True}, {}, "with a cover, the other without"),
        (
            "oldest",
            {"mtime_ns": 0},
            {"mtime_ns": 10**9},
            "of 1970-01-01 00:00:00, the other of 1970-01-01 00:00:01",
        ),
        (
            "newest",
            {"mtime_ns": 10**9},
            {"mtime_ns": 0},
            "of 1970-01-01 00:00:01, the other of 1970-01-01 00:00:00",
        ),
        ("largest", {"size": 2000}, {"size": 1}, "2,000 bytes, the other 1 byte"),
        ("smallest", {"size": 1}, {"size": 2000}, "1 byte, the other 2,000 bytes"),
        (
            "imported",
            {"tags": {"musicbrainz_trackid": ("x",)}},
            {"tags": {"title": ("x",), "artist": ("x",)}},
            "with MusicBrainz ids, the other without",
        ),
    ],
)
def test_a_rule_says_which_is_better_and_why(rule: str, better: Any, worse: Any, why: str) -> None:
    rules = keep_rules(KeepSettings((rule, "best")))
    for names in (("a", "b"), ("b", "a")):
        good, bad = track(f"/music/{names[0]}", **better), track(f"/music/{names[1]}", **worse)
        assert rules.best_first([bad, good]) == [good, bad]
        decision = rules.decision(good, bad)
        assert (decision.rule, decision.why) == (rule, why)


@pytest.mark.parametrize(
    "properties",
    [
        ({"bitrate": 192_100}, {"bitrate": 191_900}),
        ({**FLAC, "bitrate": 600_000}, {**FLAC, "bitrate": 900_000}),  # another compression level
        ({"duration_s": 200.02}, {"duration_s": 199.98}),
        ({"mtime_ns": 10**9 + 5}, {"mtime_ns": 10**9 + 7}),
    ],
)
def test_what_is_rounded_decides_nothing(properties: tuple[dict[str, Any], dict[str, Any]]) -> None:
    for names in (("a", "b"), ("b", "a")):
        files = [track(f"/music/{name}", **own) for name, own in zip(names, properties, strict=True)]
        kept, other = keep_rules(KeepSettings()).best_first(files)
        assert kept.path == b"/music/a"
        decision = keep_rules(KeepSettings()).decision(kept, other)
        assert (decision.rule, decision.why) == ("path", "nothing else tells them apart")


@pytest.mark.parametrize(
    ("name", "is_plain"),
    [
        ("song.mp3", True),
        ("song (1).mp3", False),
        ("song(2).mp3", False),
        ("song copy.mp3", False),
        ("song copy 3.mp3", False),
        ("song - Copy.mp3", False),
        ("song - Copy (2).mp3", False),
        ("Copy of song.mp3", False),
        ("song (copy).mp3", False),
        ("song (another copy).mp3", False),
        ("song (3rd copy).mp3", False),
        ("song_copy.flac", False),
        ("song - Kopie.mp3", False),
        ("(1) song.mp3", True),
        ("song (1999).mp3", True),
        ("song (1) live.mp3", True),
        ("photocopy.mp3", True),
        ("copycat.mp3", True),
        ("song_1.mp3", True),
        (b"caf\xc3\xa9 (1).mp3", False),
    ],
)
def test_names_of_copies(name: str | bytes, is_plain: bool) -> None:
    path = b"/copy of/" + (name if isinstance(name, bytes) else name.encode())
    assert RULES["named"].key(track(path)) == 1 + is_plain


def test_what_counts_before_any_rule() -> None:
    """Property: what is away is never kept; then the protected copy is, if it is sound; then what is sound."""
    rules = keep_rules(KeepSettings(("largest",), protect=(b"/p",)))
    ordered = [
        track("/p/sound"),
        track("/z/sound", size=5_000),
        track("/p/damaged", damage="breaks off", size=9_000),
        track("/z/damaged", damage="breaks off", size=8_000),
        track("/p/away", state="absent", size=99_000),
        track("/z/away", state="absent", size=88_000),
        track("/z/imported", state="imported", size=99_000),
    ]
    assert rules.best_first(random.Random(1).sample(ordered, len(ordered))) == ordered
    said = [rules.decision(one, other) for one, other in pairwise(ordered)]
    assert [one.rule for one in said] == ["protected", "sound", "largest", "present", "protected", "present"]
    assert said[0].why == "protected, the other not"
    assert said[1].why == "undamaged, the other breaks off"
    assert said[3].why == "present, the other absent"


def test_preferred_folders_go_first_or_where_the_list_says() -> None:
    good, better = track("/b/x", bitrate=9_000), track("/a/x", bitrate=320_000)
    assert not KeepSettings().prefer
    first = keep_rules(KeepSettings(("bitrate",), prefer=(b"/b", b"/a")))
    assert first.decision(good, better).why == "below /b, the other below /a"
    worse = track("/c/x", bitrate=999_000)
    assert first.best_first([worse, better, good]) == [good, better, worse]
    assert first.decision(better, track("/abc")).why == "below /a, the other below no preferred folder"
    later = keep_rules(KeepSettings(("bitrate", "prefer"), prefer=(b"/b", b"/a")))
    assert later.best_first([good, better]) == [better, good]
    other = track("/c/x", bitrate=9_000)
    assert later.best_first([other, good]) == [good, other]


def test_the_copy_in_a_complete_album_wins_where_that_counts() -> None:
    tags = {"album": ("A",), "artist": ("B",)}
    numbers = [(b"/album/%d" % n, {**tags, "tracknumber": (f"{n}/3",)}) for n in (1, 2, 3)]
    albums = Albums([*numbers, (b"/a/1", {**tags, "tracknumber": ("1/3",)})])
    rules = keep_rules(KeepSettings(("album", "largest")), albums)
    decision = rules.decision(track("/album/1"), track("/a/1", size=5_000))
    assert (decision.rule, decision.why) == ("album", "in a complete album, the other not")
    assert rules.best_first([track("/a/1", size=5_000), track("/album/1")])[0].path == b"/album/1"


# ---- lists of rules ----


@pytest.mark.parametrize(
    ("given_names", "rules"),
    [
        (("best",), BEST),
        (("oldest",), ("oldest", *BEST)),
        (("smallest",), ("smallest", *BEST)),
        (("oldest", "smallest"), ("oldest", "smallest")),
        (("lossless", "oldest"), ("lossless", "oldest")),
        (("smallest", "best"), ("smallest", *BEST)),
        (("tags", "best", "newest"), ("tags", *(name for name in BEST if name != "tags"), "newest")),
        (("bits", "rate", "bits"), ("bits", "rate")),
    ],
)
def test_rules_and_presets_may_stand_together(given_names: tuple[str, ...], rules: tuple[str, ...]) -> None:
    found = keep_rules(KeepSettings(given_names)).names
    assert found[:4] == ("present", "protected", "sound", "phase")
    assert found[4:] == tuple(dict.fromkeys((*rules, "named", "folder")))
    assert tuple(dict.fromkeys(rules)) == rule_names(given_names)


@pytest.mark.parametrize("names", [("lossless", "bitss"), ("",), ()])
def test_a_rule_that_there_is_not_is_refused_with_what_there_is(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        keep_rules(KeepSettings(names))
    for name in (*RULE_NAMES, "best"):
        assert name in str(caught.value)
    assert "'bitss'" in str(caught.value) or "bitss" not in names


# ---- whatever the rules are ----

copies = st.builds(
    track,
    st.binary(min_size=1, max_size=4).map(lambda name: b"/m/" + name.replace(b"/", b"_")),
    state=st.sampled_from(["present", "absent", "imported"]),
    damage=st.sampled_from([None, "breaks off"]),
    size=st.integers(0, 3),
    mtime_ns=st.integers(-2, 2).map(lambda seconds: seconds * 10**9),
    codec=st.sampled_from(["mp3", "flac"]),
    lossless=st.booleans(),
    bits=st.sampled_from([0, 16, 24]),
    bitrate=st.sampled_from([0, 128_000, 320_000]),
    duration_s=st.sampled_from([0.0, 180.0, 180.4, 200.0]),
    has_cover=st.booleans(),
    tags=st.sampled_from([{}, {"title": ("A",)}, {"musicbrainz_trackid": ("A",), "title": ("A",)}]),
)


@given(
    st.lists(copies, min_size=2, max_size=6, unique_by=lambda copy: copy.path),
    st.lists(st.sampled_from([*RULE_NAMES, "best"]), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_the_order_of_files_never_matters_and_each_decision_is_that_of_the_order(
    files: list[Any], names: list[str], shuffled: random.Random
) -> None:
    rules = keep_rules(KeepSettings(tuple(names), prefer=(b"/m/a",), protect=(b"/m/p",)))
    in_order = rules.best_first(files)
    shuffled.shuffle(files)
    assert rules.best_first(files) == in_order
    for better, worse in pairwise(in_order):
        decision = rules.decision(better, worse)
        turned = rules.decision(worse, better)
        assert decision.rule == turned.rule
        assert (rules.preference(better, worse), rules.preference(worse, better)) == (decision, None)
        if decision.rule == "path":
            assert better.path < worse.path
        else:
            (rule,) = (rule for rule in rules.rules if rule.name == decision.rule)
            keys = [rule.key(file) for file in (better, worse)]
            assert keys[0] > keys[1]
            assert ", the other " in decision.why


def test_the_rate_that_opus_says_is_no_merit() -> None:
    opus = track("a.opus", codec="opus", sample_rate=48_000, bitrate=105_000)
    mp3 = track("b.mp3", codec="mp3", sample_rate=44_100, bitrate=192_000)
    assert keep_rules(KeepSettings()).decision(mp3, opus).rule == "bitrate"
    assert keep_rules(KeepSettings()).best_first((opus, mp3))[0] is mp3


DSD = {"codec": "dsd", "lossless": True, "bits": 1, "sample_rate": 2_822_400}
CD = {"codec": "flac", "lossless": True, "bits": 16, "sample_rate": 44_100}


def winner(*tracks: ListedTrack, rules: tuple[str, ...] = ("best",)) -> bytes:
    return keep_rules(KeepSettings(rules)).best_first(tracks)[0].path


def test_a_rate_that_holds_all_that_is_heard_is_no_merit_before_the_codec() -> None:
    rules = keep_rules(KeepSettings())
    cd, dat, unknown = track("/music/a", **FLAC, sample_rate=44_100), track("/b", sample_rate=48_000), track("/c")
    assert rules.decision(cd, dat).rule == "lossless"
    assert rules.decision(cd, unknown).rule == "lossless"


def test_two_equal_channels_are_one() -> None:
    rules = keep_rules(KeepSettings(("channels", "best")))
    mono = track("/music/mono", channels=1, bitrate=320_000)
    doubled = track("/music/doubled", channels=2, bitrate=64_000)._replace(width_db=-120.0)
    assert rules.decision(mono, doubled).rule == "bitrate"
    assert rules.best_first([doubled, mono]) == [mono, doubled]


def test_dsd_counts_by_its_rate() -> None:
    assert winner(track("/a/x.flac", **CD), track("/z/x.dsf", **DSD)) == b"/z/x.dsf"
    as_ffmpeg_says = track("/z/x.dff", **{**DSD, "sample_rate": 352_800})
    assert winner(track("/a/x.flac", **CD), as_ffmpeg_says) == b"/z/x.dff"
    best_pcm = track("/a/x.flac", **{**CD, "bits": 24, "sample_rate": 192_000})
    assert winner(best_pcm, track("/a/w.dsf", **DSD)) == b"/a/x.flac"
    decision = keep_rules(KeepSettings(("rate",))).decision(track("/z/x.dsf", **DSD), track("/a/x.flac", **CD))
    assert decision.why == "88,200 Hz, the other 44,100 Hz"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (("opus", 139), ("vorbis", 112)),
        (("aac", 128), ("mp3", 160)),
        (("mp3", 192), ("aac", 128)),
        (("vorbis", 160), ("mp3", 192)),
        (("opus", 96), ("mp3", 128)),
        (("mp3", 320), ("opus", 160)),
        (("mp3", 192), ("mp2", 256)),
    ],
)
def test_lossy_codecs_count_by_what_they_are_worth(better: tuple[str, int], worse: tuple[str, int]) -> None:
    good, bad = (
        track(path, codec=codec, bitrate=1000 * kbits) for path, (codec, kbits) in (("/b/x", better), ("/a/x", worse))
    )
    assert winner(good, bad) == b"/b/x"


def test_what_decoding_showed_counts_and_not_what_a_header_says() -> None:
    vbr = track("/b/x.mp3", codec="mp3", bitrate=32_000, duration_s=504.0)
    heard = vbr._replace(decoded_s=80.0, n_bytes=2_000_000)
    assert (heard.seconds, heard.bitrate) == (80.0, 200_000)
    assert (vbr.seconds, vbr.bitrate) == (504.0, 32_000)
    assert winner(track("/a/x.mp3", codec="mp3", bitrate=160_000, duration_s=80.0), heard) == b"/b/x.mp3"
    long = track("/a/y.mp3", duration_s=81.0)
    assert winner(long, heard, rules=("length",)) == b"/a/y.mp3"


def test_a_copy_whose_channels_cancel_is_never_the_better_one() -> None:
    cancels = track("/a/x.flac", **CD)._replace(cancels=1)
    mp3 = track("/b/x.mp3", codec="mp3", bitrate=64_000)
    assert winner(cancels, mp3) == b"/b/x.mp3"
    decision = keep_rules(KeepSettings()).decision(mp3, cancels)
    assert (decision.rule, decision.why) == ("phase", "channels in phase, the other channels cancel")
    assert cancels.faults == "channels cancel"


@pytest.mark.parametrize("rules", [("best",), ("largest",), ("lossless",)])
def test_of_equal_files_the_plain_name_and_the_lasting_folder_win(rules: tuple[str, ...]) -> None:
    plain = track("/music/z/song.mp3")
    for path in (
        b"/music/a/\x1b[31mred.mp3",
        b"/music/a/caf\xe9.mp3",
        b"/music/a/copy of song.mp3",
        b"/music/Downloads/song.mp3",
        b"/music/.hidden/song.mp3",
        b"/music/backup/a/song.mp3",
        b"/music/Duplicates/song.mp3",
    ):
        assert winner(track(path), plain, rules=rules) == plain.path
    below_tmp = track("/tmp/music/a/song.mp3")._replace(root=b"/tmp/music")
    assert RULES["folder"].key(below_tmp), "only folders of the library count"


def test_the_help_says_what_best_is() -> None:
    said = next(setting.option.help for setting in settings_of(KeepSettings) if setting.name == "keep")
    best, _, others = said.partition("some of ")[2].partition(" (these in this order are 'best'), ")
    assert tuple(best.split(", ")) == BEST
    names = {*BEST, *others.removesuffix(".").replace(" and ", ", ").split(", ")}
    assert names == set(RULE_NAMES)
