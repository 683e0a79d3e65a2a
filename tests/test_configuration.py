"""Where each setting's value comes from, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.errors import LibraryError, UsageError
from dedup.settings import (
    CompareSettings,
    DiscoverSettings,
    KeepSettings,
    MatchSettings,
    PlanSettings,
    ScanSettings,
)
from jobs.session.configuration import Configuration, settle
from jobs.session.options import SETTINGS, variable
from jobs.session.run_settings import RunSettings


def settled(tmp_path: Path, toml: str = "", given: dict[str, Any] | None = None, **environment: str) -> Configuration:
    file = tmp_path / "settings.toml"
    file.write_text(toml, encoding="utf-8")
    return settle(given or {}, {"REPRISE_CONFIG": str(file), **environment})


LEVELS = ("command line", "environment REPRISE_MAX_LAG", "profile nas", "file", "default")


@pytest.mark.parametrize("top", range(5))
def test_the_highest_level_wins_and_is_named(tmp_path: Path, top: int) -> None:
    # every level from `top` down to the file is set, those above are not
    given = {"max-lag": 1} if top <= 0 else {}
    environment = {"REPRISE_MAX_LAG": "2"} if top <= 1 else {}
    toml = 'default-profile = "nas"\n' + ("max-lag = 4\n" if top <= 3 else "")
    toml += "[profile.nas]\n" + ("max-lag = 3\n" if top <= 2 else "")
    found = settled(tmp_path, toml, given, **environment).settled["max-lag"]
    assert (found.value, found.source) == ([1, 2, 3, 4, None][top], LEVELS[top])


@pytest.mark.parametrize(
    ("given", "environment", "value", "source"),
    [
        ({"profile": "a"}, {"REPRISE_PROFILE": "b"}, "a", "command line"),
        ({}, {"REPRISE_PROFILE": "b"}, "b", "environment REPRISE_PROFILE"),
        ({}, {}, "c", "file"),
    ],
)
def test_the_profile_itself_follows_the_same_order(
    tmp_path: Path, given: dict[str, Any], environment: dict[str, str], value: str, source: str
) -> None:
    toml = 'default-profile = "c"\n' + "".join(f"[profile.{name}]\nstore = '/{name}'\n" for name in "abc")
    found = settled(tmp_path, toml, given, **environment)
    assert (found["profile"], found.settled["profile"].source) == (value, source)
    assert found.settled["store"].value == f"/{value}"
    assert found.settled["store"].source == f"profile {value}"


def test_without_anything_the_defaults_are_those_of_the_dataclasses(tmp_path: Path) -> None:
    found = settled(tmp_path)
    assert found.scan() == ScanSettings()
    assert found.discover() == DiscoverSettings()
    assert found.compare() == CompareSettings()
    assert found.match() == MatchSettings()
    assert found.keep() == KeepSettings()
    assert found.cleanup() == PlanSettings()
    assert found.fingerprint().length_s == 0
    assert found.of(RunSettings) == replace(RunSettings(), store=os.fsencode(found.store))
    assert found.store.name == "store"
    assert {value.source for value in found.settled.values()} == {"default"}


def test_every_setting_reaches_its_dataclass(tmp_path: Path) -> None:
    toml = """
        roots = ["/music", "more"]
        extensions = [".MP3", "flac"]
        include = "a/*"
        exclude = ["b", "c"]
        max_depth = 3
        hidden = true
        min-length = 20
        time-limit = 1.5
        length = 120
        retry-failed = true
        block-size = 64
        method = "exact"
        max-lag = 10
        min-overlap = 1
        min-overlap-items = 9
        max-false = 2
        min-score = 0.5
        min-prominence = 0.25
        classic = 0.58
        workers = 0
        keep = ["prefer", "best"]
        prefer = "good"
        protect = ["/a", "/b"]
        identity = "album"
        companion = "/flac:/mp3/"
        action = "trash"
        to = "gone"
        playlists = "lists"
        merge = false
        break-albums = true
        remove-empty-folders = true
        auto = 0.9
        ask = 0.5
        let-go = "speed,chapters"
    """
    found = settled(tmp_path, toml)
    discover = DiscoverSettings(frozenset({"mp3", "flac"}), ("a/*",), ("b", "c"), 3, True)
    assert found.scan() == ScanSettings(discover, 20, 1.5, True)
    assert found.compare() == CompareSettings("exact", 10, 1.0, 9)
    assert found.match() == MatchSettings(2.0, 0.5, 0.25, 0.58)
    assert found.fingerprint().length_s == 120
    assert (found["block-size"], found["workers"]) == (64, 0)
    below = os.fsencode(tmp_path) + b"/"
    assert found.keep() == KeepSettings(
        ("prefer", "best"), (below + b"good",), (b"/a", b"/b"), "album", ((b"/flac", b"/mp3"),)
    )
    cleanup = PlanSettings(
        "trash", below + b"gone", (below + b"lists",), False, True, True, 0.9, 0.5, ("speed", "chapters")
    )
    assert found.cleanup() == cleanup
    # paths of the file are relative to the file, not to where the user stands
    assert found.roots() == (b"/music", os.fsencode(tmp_path / "more"))


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_a_variable(tmp_path: Path, name: str) -> None:
    samples = {"method": "exact", "min-overlap": "0.25", "min-prominence": "0.25", "min-score": "0.25"}
    samples |= {"until": "06:30", "again": "pitch", "notify-when": "new", "map": "/there=/here", "worker-timeout": "60"}
    samples |= {"keep": "oldest", "identity": "album", "let-go": "speed", "companion": "/flac:/mp3", "action": "trash"}
    samples |= {"on-better": "reject", "on-other": "import"}
    text = samples.get(name, "1")
    toml = "[profile.1]\n"
    found = settled(tmp_path, toml, **{variable(name): text}).settled[name]
    assert found.source == f"environment {variable(name)}"


def test_the_profiles_that_are_always_there(tmp_path: Path) -> None:
    """Property: strict asks for more than basic, which is the defaults, and aggressive for less; none needs a file."""
    strict, basic = (settled(tmp_path, given={"profile": name}).match() for name in ("strict", "basic"))
    assert basic == MatchSettings()
    assert basic.min_score is not None
    assert strict.min_score is not None
    assert strict.max_false < basic.max_false
    assert strict.min_score > basic.min_score
    assert strict.min_prominence > basic.min_prominence
    aggressive = settled(tmp_path, REPRISE_PROFILE="aggressive")
    assert aggressive.match().max_false > basic.max_false
    assert aggressive.match().min_score is None
    assert aggressive.match().min_prominence < basic.min_prominence
    assert aggressive.settled["min-score"].source == "profile aggressive"
    assert {value.source for name, value in aggressive.settled.items() if name not in (*MATCH, "profile")} == {
        "default"
    }


MATCH = ("max-false", "min-score", "min-prominence", "classic")


def test_the_file_adds_to_a_profile_of_that_name(tmp_path: Path) -> None:
    toml = """
        min-score = 0.3
        min-prominence = 0.3
        default-profile = "strict"
        [profile.strict]
        min-score = 0.7
        workers = 2
    """
    found = settled(tmp_path, toml, {"max-false": 3.0})
    assert (found.match().min_score, found.settled["min-score"].source) == (0.7, "profile strict")
    assert found["workers"] == 2
    assert found.match().min_prominence == settled(tmp_path, given={"profile": "strict"}).match().min_prominence
    assert found.settled["min-prominence"].source == "profile strict", "a profile goes before the file"
    assert found.match().max_false == 3.0


@pytest.mark.parametrize("toml", ["min-score = 'judged'\nclassic = 'off'", "min_score = 0.3\nclassic = 0.6"])
def test_words_of_the_thresholds(tmp_path: Path, toml: str) -> None:
    found = settled(tmp_path, toml, REPRISE_MIN_SCORE="judged", REPRISE_CLASSIC="off").match()
    assert (found.min_score, found.classic) == (None, None)
    if "judged" in toml:
        found = settled(tmp_path, toml).match()
        assert (found.min_score, found.classic) == (None, None)


def test_lists_in_variables_are_split_as_paths_are(tmp_path: Path) -> None:
    found = settled(tmp_path, REPRISE_ROOTS=os.pathsep.join(["/a b", "~/c"]), REPRISE_EXTENSIONS="mp3, .FLAC")
    assert found.roots() == (b"/a b", os.fsencode(os.path.expanduser("~/c")))
    assert found["extensions"] == {"mp3", "flac"}


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert settled(tmp_path, REPRISE_WORKERS="", REPRISE_STORE="")["workers"] is None


def test_words_that_stand_for_none_undo_a_lower_level(tmp_path: Path) -> None:
    found = settled(tmp_path, "workers = 3\nmax-depth = 2", REPRISE_WORKERS="all", REPRISE_MAX_DEPTH="unlimited")
    assert (found["workers"], found["max-depth"]) == (None, None)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("max-lagg = 3", ["max-lagg", "'max-lag'", "settings.toml"]),
        ("[profile.nas]\nworker = 3", ["worker", "'workers'", "settings.toml"]),
        ("[profile.nas]\nprofile = 'x'", ["profile", "settings.toml"]),
        ("default-profile = 'nsa'\n[profile.nas]", ["'nsa'", "Did you mean 'nas'", "settings.toml", "file"]),
        (
            "default-profile = 'agressive'",
            ["Did you mean 'aggressive'", "'strict', 'basic', 'aggressive'", "[profile.ag"],
        ),
        ("default-profile = 'x'\n[profile.nas]", ["'x'", "'strict', 'basic', 'aggressive', 'nas'", "[profile.x]"]),
        ("default-profile = 3", ["3", "name of a profile"]),
        ("profile = 'nas'", ["'nas'", "[profile.nas]", "default-profile"]),
        ("[nas]\nmax-lag = 3", ["setting nas", "Write [profile.nas] for a profile of that name"]),
        ("max-lag = '3'", ["max-lag", "'3'", "whole number", "settings.toml"]),
        ("max-lag = 3.0", ["3.0", "whole number from 0 to 1,000,000"]),
        ("max-lag = true", ["True", "whole number"]),
        ("max-lag = 'none'", ["'none'", "or 'all'"]),
        ("max-lag = -1", ["-1", "0 to 1,000,000"]),
        ("min-score = nan", ["nan", "a number from 0 to 1"]),
        ("min-score = 'judge'", ["'judge'", "0 to 1, or 'judged'"]),
        ("min-score = 1.1", ["1.1", "0 to 1, or 'judged'"]),
        ("classic = 'on'", ["'on'", "0 to 1, or 'off'"]),
        ("max-false = 0", ["found 0", "greater than 0"]),
        ("max-false = inf", ["inf", "greater than 0"]),
        ("min-overlap = 0", ["found 0", "greater than 0 and at most 1"]),
        ("hidden = 1", ["found 1", "true or false"]),
        ("method = 'fast'", ["'fast'", "'cascade' or 'exact'"]),
        ("roots = 3", ["found 3", "a list"]),
        ("roots = ['a', 3]", ["found 3", "a folder"]),
        ("store = ''", ["found ''", "a folder"]),
        ("extensions = []", ["found []", "mp3,flac"]),
        ("extensions = [3]", ["found [3]", "mp3,flac"]),
        (
            "keep = 'lossless,bitss'",
            [
                "'lossless,bitss'",
                "no rule 'bitss'",
                "rules separated by commas, out of lossless, bits, rate",
                "best, listener, oldest",
            ],
        ),
        ("keep = []", ["found []", "one of best, listener, oldest"]),
        ("identity = 'disc'", ["'disc'", "'recording' or 'album'"]),
        ("companion = '/a'", ["'/a'", "DIR1:DIR2"]),
        ("companion = 'a:/b'", ["'a:/b'", "two absolute paths"]),
        ("action = 'keep'", ["'keep'", "'quarantine' or 'trash' or 'hardlink' or 'reflink' or 'delete'"]),
        ("auto = 1.5", ["1.5", "0 to 1, or 'all'"]),
        ("ask-again-days = -1", ["-1", "a number of at least 0"]),
        ("acoustid-key = ''", ["''", "some text"]),
        ('acoustid-key-command = "pass \'x"', ["a command with quotes that close"]),
        ("workers = 5000", ["5000", "0 to 1,024, or 'all'"]),
        ("[profile.other]\nworkers = -1", ["-1", "profile other", "0 to 1,024"]),
        ("max-lag = 3\nmax_lag = 4", ["max_lag", "twice"]),
        ("max-lag = \n\n", ["settings.toml", "not valid TOML", "line 1"]),
    ],
)
def test_a_wrong_file_is_refused_with_value_expectation_and_place(tmp_path: Path, toml: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        settled(tmp_path, toml)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REPRISE_WORKERS", "many", ["REPRISE_WORKERS", "'many'", "0 to 1,024"]),
        ("REPRISE_HIDDEN", "maybe", ["REPRISE_HIDDEN", "'maybe'", "true or false"]),
        ("REPRISE_WORKRES", "2", ["REPRISE_WORKRES", "Did you mean REPRISE_WORKERS?"]),
        ("REPRISE_PROFILE", "nsa", ["REPRISE_PROFILE", "'nsa'", "Did you mean 'nas'", "settings.toml"]),
        ("REPRISE_TIME_LIMIT", "inf", ["'inf'", "greater than 0"]),
    ],
)
def test_a_wrong_variable_is_refused(tmp_path: Path, name: str, value: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        settled(tmp_path, "[profile.nas]", **{name: value})
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    settled(tmp_path, REPRISE_LAUNCHER_VENV="/x", REPRISE_NO_INSTALL="1")


def test_a_settings_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        settle({}, {"REPRISE_CONFIG": str(tmp_path / "none.toml")})
    with pytest.raises(UsageError, match="cannot be read"):
        settle({}, {"REPRISE_CONFIG": str(tmp_path)})


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b'store = "\xff"')
    with pytest.raises(UsageError, match="is not valid TOML"):
        settle({}, {"REPRISE_CONFIG": str(tmp_path / "s.toml")})


def test_no_library_says_how_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(LibraryError) as caught:
        settled(tmp_path).roots()
    for word in ("argument", "roots = ", str(tmp_path / "settings.toml"), "REPRISE_ROOTS"):
        assert word in str(caught.value)
