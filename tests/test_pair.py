"""Two files explained: what they are to each other, at which lag, and each number against its threshold."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dedup.correlation.correlate import correlate
from dedup.correlation.match import STORED_KAPPA
from dedup.correlation.scoring import CHANCE, MIN_DISTINCT, OF_LONGER, PROMINENCE, SCORE, STEPS, usual_noise
from dedup.errors import InputError
from dedup.groups import explain as groups_explain
from dedup.groups.explain import Explanation, explain, lag_curve, listen, overlapping
from dedup.groups.judgements import record
from dedup.groups.matches import Matches
from dedup.nulltest.hear import hear
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, FingerprintSettings, MatchSettings
from dedup.store.items import SILENT_ITEM, items_digest
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import SAMPLE_RATE, compose
from tests.made_matches import made
from tests.stores import add_track, copied, open_store, recording

FINGERPRINT = FingerprintSettings()

N_FRONT = 4
"""Seconds of the original that the trimmed copy lacks."""


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")

    def put(name: str, samples: np.ndarray, encoding: Encoding, **tags: str) -> None:
        write(os.fsencode(folder / name), samples, encoding, tags)

    song = compose(1, "artist", 45.0)
    put("song.flac", song, Encoding("flac"), title="Song")
    shutil.copyfile(folder / "song.flac", folder / "copy.flac")
    put("retagged.flac", song, Encoding("flac"), title="Other title", artist="Somebody")
    put("trimmed.opus", song[N_FRONT * SAMPLE_RATE :], Encoding("opus", 48_000))
    put("excerpt.mp3", song[20 * SAMPLE_RATE : 38 * SAMPLE_RATE], Encoding("mp3", 128_000))
    put("unrelated.mp3", compose(2, "another", 45.0), Encoding("mp3", 128_000))
    put("silent.wav", np.zeros((20 * SAMPLE_RATE, 2), np.float32), Encoding("wav"))
    put("short.wav", song[: 3 * SAMPLE_RATE], Encoding("wav"))
    put("jingle.wav", song[: 8 * SAMPLE_RATE], Encoding("wav"))
    (folder / "text.mp3").write_text("no audio at all")
    (folder / "folder.mp3").mkdir()
    return folder


def explained(music: Path, a: str, b: str, **settings: float) -> Explanation:
    paths = (os.fsencode(music / name) for name in (a, b))
    return explain(*paths, None, FINGERPRINT, CompareSettings(varispeed=False), MatchSettings(**settings))


def unmet(found: Explanation) -> list[str]:
    return [criterion.name for criterion in found.criteria if not criterion.met]


def test_the_same_recording_and_which_of_the_two_has_more_in_front(music: Path):
    found = explained(music, "song.flac", "trimmed.opus")
    assert (found.verdict, unmet(found)) == ("same recording", [])
    assert found.match.lag_s == pytest.approx(N_FRONT, abs=0.1)
    assert found.match.overlap == len(found.b.items)
    turned = explained(music, "trimmed.opus", "song.flac")
    assert turned.match == found.match.swapped()
    assert turned.match.lag_s == pytest.approx(-N_FRONT, abs=0.1)
    assert [c.value for c in turned.criteria] == [c.value for c in found.criteria]


def test_who_listens_to_two_files_gets_what_to_draw_if_asked(music: Path):
    found = explained(music, "song.flac", "trimmed.opus")
    heard = hear(found, 60.0, to_draw=True)
    assert heard.test is not None and heard.test.is_copy
    assert heard.residual is not None
    assert heard.residual.start_s == pytest.approx(N_FRONT, abs=0.1)
    assert hear(found, 60.0) == (heard.explained, heard.test, None)
    for other in ("copy.flac", "unrelated.mp3"):
        unheard = explained(music, "song.flac", other)
        assert hear(unheard, 60.0, to_draw=True) == (unheard, None, None)


def test_an_excerpt_is_contained(music: Path):
    found = explained(music, "song.flac", "excerpt.mp3")
    assert (found.verdict, unmet(found)) == ("contained", [OF_LONGER])
    assert found.match.lag_s == pytest.approx(20, abs=0.1)
    assert found.match.place() == pytest.approx((20, 38, 0, 18), abs=2.7)  # items begin 2.7 s before what they say


def test_an_identical_file(music: Path):
    found = explained(music, "song.flac", "copy.flac")
    assert (found.verdict, found.match.lag, found.match.agreement) == ("identical file", 0, 1.0)


def test_one_file_under_two_names_is_the_same_file(music: Path, tmp_path: Path):
    os.link(music / "song.flac", tmp_path / "hard link.flac")
    os.symlink(music / "song.flac", tmp_path / "link.flac")
    for other in ("song.flac", tmp_path / "hard link.flac", tmp_path / "link.flac"):
        found = explained(music, "song.flac", str(other))
        assert (found.verdict, found.match.lag, found.match.agreement) == ("same file", 0, 1.0)


def test_the_same_audio_with_other_tags(music: Path):
    assert explained(music, "song.flac", "retagged.flac").verdict == "same audio"


def test_the_same_samples_packed_otherwise_are_the_same_audio(music: Path, monkeypatch: pytest.MonkeyPatch):
    from dedup.groups import explain as pair

    real = pair.listen
    monkeypatch.setattr(pair, "listen", lambda *args, **how: replace(real(*args, **how), stream=args[0]))
    assert explained(music, "song.flac", "retagged.flac").verdict == "same audio"
    monkeypatch.setattr(pair, "listen", lambda *args, **how: replace(real(*args, **how), stream=None, damage="gaps"))
    assert explained(music, "song.flac", "retagged.flac").verdict == "same recording"


def test_unrelated_files_and_the_numbers_that_say_so(music: Path):
    found = explained(music, "song.flac", "unrelated.mp3")
    assert found.verdict == "other"
    assert {CHANCE, SCORE, PROMINENCE, STEPS} <= set(unmet(found))
    assert 0.001 < found.false_match <= 1


def test_thresholds_are_what_was_asked_for(music: Path):
    found = explained(music, "song.flac", "trimmed.opus", min_score=0.99)
    assert (found.verdict, unmet(found)) == ("related", [SCORE])
    assert {c.name: c.threshold for c in found.criteria}[SCORE] == 0.99
    classic = explained(music, "song.flac", "trimmed.opus", classic=0.58)
    assert classic.verdict == "same recording"
    assert {c.name: c.threshold for c in classic.criteria}["agreement"] == 0.58
    assert explained(music, "song.flac", "trimmed.opus", classic=1.0).verdict == "other"


def test_how_likely_chance_is(music: Path):
    for other, most in (("trimmed.opus", 1e-9), ("unrelated.mp3", 1.0)):
        found = explained(music, "song.flac", other)
        assert found.false_match == usual_noise().false_match(found.match.evidence) <= most


def test_too_short_to_overlap_enough(music: Path):
    found = explained(music, "song.flac", "jingle.wav")
    assert (found.verdict, found.match, found.false_match) == ("other", None, None)
    assert unmet(found) == ["overlap, items"]
    assert found.criteria[0].value == len(found.b.items) < found.criteria[0].threshold == 80


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("silent.wav", "silent"),
        ("short.wav", "too short"),
        ("text.mp3", "text.mp3"),
        ("missing.mp3", "cannot be read: No such file"),
        ("folder.mp3", "not a file"),
        ("song.flac/x", "cannot be read: Not a directory"),
    ],
)
def test_a_file_that_cannot_be_compared_is_named_with_the_reason(music: Path, name: str, reason: str):
    for a, b in ((name, "song.flac"), ("song.flac", name)):
        with pytest.raises(InputError, match=reason) as raised:
            explained(music, a, b)
        assert os.path.basename(name) in str(raised.value)


def test_a_name_of_any_bytes(music: Path, tmp_path: Path):
    paths = [os.path.join(os.fsencode(tmp_path), name) for name in (b"caf\xe9 $x$.flac", b"a\nb.flac")]
    for path in paths:
        shutil.copyfile(music / "song.flac", path)
    found = explain(*paths, None, FINGERPRINT, CompareSettings(varispeed=False), MatchSettings())
    assert (found.verdict, found.a.path, found.b.path) == ("identical file", *paths)
    with pytest.raises(InputError, match=r"\\xe9"):
        listen(paths[0] + b"x", None, FINGERPRINT)


# ---- with a store ----


def test_what_the_store_knows_is_not_decoded(music: Path, tmp_path: Path):
    path = os.fsencode(music / "song.flac")
    status = os.stat(path)
    with open_store(tmp_path / "store") as store:
        add_track(store, "gone.flac", recording(1, 200))
        add_track(store, "song.flac", recording(2, 200), size=status.st_size)
        with store.catalog.transaction():
            song = store.catalog.tracks.get(b"/music/song.flac")
            store.catalog.tracks.put(replace(song, path=path, root=b"/", mtime_ns=status.st_mtime_ns))
        away = listen(b"/music/gone.flac", store, FINGERPRINT)
        assert away.from_store
        assert np.array_equal(away.items, recording(1, 200))
        assert listen(path, store, FINGERPRINT).from_store
        store.seal_tail()
        assert np.array_equal(listen(path, store, FINGERPRINT).items, recording(2, 200))
        with store.catalog.transaction():
            store.catalog.tracks.put(replace(song, path=path, root=b"/", mtime_ns=1))
        assert not listen(path, store, FINGERPRINT).from_store
        assert not listen(os.fsencode(music / "copy.flac"), store, FINGERPRINT).from_store
        assert explain(b"/music/gone.flac", b"/music/song.flac", store, *SETTINGS).verdict == "other"


SETTINGS = (FINGERPRINT, CompareSettings(varispeed=False), MatchSettings())


def test_pair_says_what_report_says(tmp_path: Path):
    """Property: a pair explained has the verdict and the numbers that the store's comparison gave it."""
    items = recording(1, 300)
    silence = np.full(200, SILENT_ITEM, np.uint32)
    versions = {
        "original": items,
        "bits flipped": copied(items, 0.2),
        "half of them": copied(items, 0.27),
        "cut": items[40:],
        "excerpt": items[50:170],
        "silence in front": np.concatenate([silence[:60], items]),
        "mostly silence": np.concatenate([items[:60], silence]),
        "mostly silence too": np.concatenate([items[:60], silence, items[60:70]]),
        "hum": np.tile(recording(2, MIN_DISTINCT - 1), 20),
        "hum again": np.tile(recording(2, MIN_DISTINCT - 1), 19),
        "another": recording(3, 310),
        "another version": copied(items, 0.3, 5),
        "unlike end": np.concatenate([items[:200], recording(4, 110)]),
        "a passage": np.concatenate([recording(5, 200), items[100:200], recording(6, 50)]),
    }
    with open_store(tmp_path / "store") as store:
        for name, version in versions.items():
            add_track(store, name, version)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        matches = Matches(store, MatchSettings())
        reported = {(pair.a.path, pair.b.path): (pair.match, pair.verdict) for pair in matches.pairs()}
        names = sorted(b"/music/" + name.encode() for name in versions)
        for position, a in enumerate(names):
            for b in names[position + 1 :]:
                found = explain(a, b, store, *SETTINGS)
                if (a, b) in reported:
                    assert reported[a, b] == (found.match, found.verdict)
                else:  # what is hardly like is not stored, even where so few tracks would seldom do as well
                    assert found.verdict in ("other", "related")
                    assert found.verdict == "other" or found.match.score < STORED_KAPPA
    assert len(reported) >= 6
    assert {verdict for _, verdict in reported.values()} == {"same recording", "contained", "related"}


def test_what_a_person_said_wins_and_the_numbers_stay(tmp_path: Path):
    items = recording(1, 300)
    with open_store(tmp_path / "store") as store:
        for name, version in (("a", items), ("b", copied(items, 0.1)), ("c", recording(3, 310)), ("d", items[:40])):
            add_track(store, name, version)
        store.seal_tail()
        digest = {name: items_digest(listen(b"/music/" + name.encode(), store, FINGERPRINT).items) for name in "abcd"}
        before = {pair: explain(*(b"/music/" + name.encode() for name in pair), store, *SETTINGS) for pair in PAIRS}
        assert [found.verdict for found in before.values()] == ["same recording", "other", "other"]
        assert not any(found.judged for found in before.values())
        for (one, other), same in zip(PAIRS, (False, True, True), strict=True):
            record(store, digest[one], digest[other], same, None)
        for pair, expected in zip(PAIRS, ("other", "same recording", "same recording"), strict=True):
            found = explain(*(b"/music/" + name.encode() for name in pair), store, *SETTINGS)
            assert found == replace(before[pair], verdict=expected, judged=True, a=found.a, b=found.b)


PAIRS = ("ab", "ac", "cd")


def test_why_a_silent_overlap_is_no_match(tmp_path: Path):
    """Property: a score of 0 is explained by the number that made it so."""
    silence = np.full(300, SILENT_ITEM, np.uint32)
    a, b = (np.concatenate([recording(1, 40), silence, recording(seed, 30)]) for seed in (2, 3))
    with open_store(tmp_path / "store") as store:
        add_track(store, "a", a)
        add_track(store, "b", b[5:])
        store.seal_tail()
        found = explain(b"/music/a", b"/music/b", store, *SETTINGS)
    assert (found.verdict, found.match.score) == ("other", 0.0)
    assert "overlap not silent, items" in unmet(found)
    values = {criterion.name: criterion.value for criterion in found.criteria}
    left, right = overlapping(found.a.items, found.b.items, found.match)
    assert values["overlap not silent, items"] == np.count_nonzero((left != SILENT_ITEM) | (right != SILENT_ITEM))


def test_the_lag_curve_peaks_at_the_best_lag():
    items = recording(1, 200)
    lags, agreement = lag_curve(items, items[30:], CompareSettings(varispeed=False, max_lag=100, min_overlap=0.5))
    assert (lags[0], lags[-1], lags[np.argmax(agreement)]) == (-85, 100, 30)
    assert agreement.max() == 1.0
    assert len(lags) == len(agreement) == 186
    assert [len(part) for part in lag_curve(items[:79], items, CompareSettings(varispeed=False))] == [0, 0]


def test_the_parts_that_lie_over_each_other():
    items = recording(1, 50)
    for a, b, lag, n_items in ((items, items[7:], 7, 43), (items[7:], items, -7, 43), (items, items, 0, 50)):
        left, right = overlapping(a, b, made(lag=lag, overlap=n_items))
        assert np.array_equal(left, right)
        assert len(left) == n_items


@pytest.mark.long
def test_a_terabyte_of_nothing_has_a_limit_of_time(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg reads on and on for the packet after the last one, and minds neither the time nor a signal."""
    path = tmp_path / "vast.mp3"
    shutil.copyfile(music / "excerpt.mp3", path)
    os.truncate(path, 10**12)
    monkeypatch.setattr(groups_explain, "LOOK_S", 2.0)
    with pytest.raises(InputError, match=r"vast\.mp3: decoding takes longer than 2.5 s"):
        listen(os.fsencode(path), None, FINGERPRINT, time_limit_s=0.5, is_apart=True)
