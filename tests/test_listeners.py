"""What listeners did, as plans take it: settings of servers, evidence kept beside a store, the keep rule, what would be
lost. Nothing here asks a server."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.errors import StoreDamagedError, UsageError
from dedup.groups.keep import PRESETS, keep_rules
from dedup.groups.remembered import Place
from dedup.observer import Silent
from dedup.plan.weigh import find_groups
from dedup.servers import evidence
from dedup.servers.attention import NONE, Attention, Bookmark, Heard, Listed, Listeners, Share, of_record, to_record
from dedup.servers.settings import ServerSettings
from dedup.settings import KeepSettings, MatchSettings, PlanSettings
from dedup.store.change import store_version
from dedup.store.layout import Layout
from dedup.upkeep.check import check
from jobs.session.configuration import settle
from tests.cleanups import make_files, make_store, opened, plan_all

SOME = Attention(
    True,
    4,
    7,
    (Listed("p", "Evening", (0, 2), "bert"),),
    Bookmark(61_000, "here"),
    (Share("s", "for you", "2030-01-01"),),
)
FILES = {"a.flac": 1, "sub/a.mp3": 1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_files(tmp_path / "music", FILES)
    make_store(tmp_path / "store", tmp_path / "music", FILES)
    return tmp_path / "music"


def heard_of(root: Path, **more: object) -> Heard:
    return Heard("home", (os.fsencode(root),), **more)  # type: ignore[arg-type]


def keep_heard(root: Path, **attention: Attention) -> None:
    """Keeps what was said of the files with these names, without their endings."""
    paths = {
        os.fsencode(root / ("a.flac" if name == "flac" else "sub/a.mp3")): said for name, said in attention.items()
    }
    evidence.keep(Layout(root.parent / "store"), Listeners((heard_of(root, attention=paths),)))


# ---- what is kept ----


def test_a_record_and_back() -> None:
    assert of_record(to_record(SOME)) == SOME
    assert to_record(NONE) == {} and of_record({}) == NONE


def test_evidence_is_kept_and_renewed(root: Path) -> None:
    layout = Layout(root.parent / "store")
    assert (evidence.kept(layout), evidence.digest(layout)) == (Listeners(), "")
    before = store_version(layout.folder)
    said = Listeners((heard_of(root, attention={b"/m/\xff": SOME}), Heard("away", (b"/x",), True, "is down")))
    evidence.keep(layout, said)
    assert evidence.kept(layout) == said and evidence.kept(layout).digest == evidence.digest(layout) != ""
    assert layout.listeners.stat().st_mode & 0o077 == 0
    assert store_version(layout.folder) != before
    evidence.keep(layout, Listeners())
    assert not layout.listeners.exists()
    evidence.keep(layout, Listeners())


@pytest.mark.parametrize("damage", [b"", b"{", b'{"servers": []}', b"[3]", b"\xff"])
def test_a_plan_is_not_made_without_evidence_that_is_damaged(root: Path, damage: bytes) -> None:
    layout = Layout(root.parent / "store")
    layout.listeners.write_bytes(damage)
    with opened(root) as store:
        with pytest.raises(StoreDamagedError, match=r"listeners\.json"):
            plan_all(store)
        (finding,) = check(store, Silent())
        assert (finding.kind, finding.name) == ("note", "listeners.json") and finding.text.startswith("cannot be read")


def test_every_changed_bit_of_the_evidence_is_seen(root: Path) -> None:
    keep_heard(root, mp3=SOME)
    layout = Layout(root.parent / "store")
    whole = layout.listeners.read_bytes()
    for at in range(0, len(whole), 7):
        layout.listeners.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(StoreDamagedError):
            evidence.kept(layout)


# ---- what counts ----


def test_more_love_ranks_higher() -> None:
    order = [
        NONE,
        Attention(plays=2),
        Attention(rating=1, plays=3),
        Attention(playlists=(Listed("p", "P"),)),
        Attention(rating=3),
        Attention(rating=5, plays=9),
        Attention(starred=True),
        SOME,
    ]
    ranks = [each.rank for each in order]
    assert ranks == sorted(ranks) and len(set(ranks)) == len(ranks)
    assert [each.is_loved for each in order] == [False, False, False, True, False, True, True, True]


def test_words() -> None:
    told = "starred, rated 4, in the playlist Evening, with a bookmark at 1:01 (here), shared, played 7 times"
    assert ", ".join(SOME.words()) == told


def test_the_preset_for_listeners_has_loved_before_lossless() -> None:
    rules = PRESETS["listener"]
    assert rules[rules.index("lossless") - 1] == "loved"
    assert tuple(rule for rule in rules if rule != "loved") == PRESETS["best"]
    assert keep_rules(KeepSettings(("listener", "largest"))).names[4:-1] == (*rules, "largest")[:-1]


def test_the_loved_file_is_kept_by_the_rule_alone(root: Path) -> None:
    keep_heard(root, mp3=Attention(starred=True))
    with opened(root) as store:
        plain = plan_all(store)
        loving = plan_all(store, KeepSettings(("listener",)))
    assert [file.action for file in plain.groups[0].files] == ["keep", "quarantine"]
    assert plain.groups[0].files[0].path.endswith(b"a.flac")
    kept, gone = loving.groups[0].files
    assert (kept.path.endswith(b"a.mp3"), gone.rule) == (True, "loved")
    assert gone.why == "home: starred, the other without listeners"


@pytest.mark.parametrize(
    ("attention", "why"),
    [
        ({"mp3": Attention(plays=1)}, "played once on home, which cannot move plays, the kept file not"),
        (
            {"mp3": Attention(plays=31), "flac": Attention(plays=2)},
            "played 31 times on home, which cannot move plays, the kept file 2",
        ),
        ({"mp3": Attention(plays=2), "flac": Attention(plays=2)}, ""),
        ({"mp3": replace(SOME, plays=0, playlists=())}, ""),
        (
            {"mp3": Attention(playlists=(Listed("p", "X", (0,), "bert"),))},
            "in the playlist X of bert on home, which only they may change",
        ),
    ],
)
def test_what_no_server_moves_keeps_a_copy(root: Path, attention: dict[str, Attention], why: str) -> None:
    keep_heard(root, **attention)
    with opened(root) as store:
        copy = plan_all(store).groups[0].files[1]
        assert (copy.action, copy.rule == "listeners") == (("leave", True) if why else ("quarantine", False))
        assert (copy.why == why) == bool(why)
        freed = find_groups(store, MatchSettings(), KeepSettings()).groups[0].bytes_reclaimable
        assert freed == (0 if why else copy.size)
        gone = plan_all(store, settings=PlanSettings(let_go=("listeners",))).groups[0].files[1]
        assert gone.action == "quarantine" and [loss.what for loss in gone.lost] == ([why] if why else [])


def test_a_server_that_cannot_be_asked_keeps_what_it_plays(root: Path) -> None:
    layout = Layout(root.parent / "store")
    evidence.keep(layout, Listeners((Heard("home", (os.fsencode(root / "sub"),), problem="is down"),)))
    with opened(root) as store:
        copy = plan_all(store).groups[0].files[1]
        assert copy.why == "the server home cannot be asked what listeners did with it (is down)"
        evidence.keep(layout, Listeners((Heard("home", (b"/elsewhere",), problem="is down"),)))
        assert plan_all(store).groups[0].files[1].action == "quarantine"


def test_a_loved_copy_is_protected(root: Path) -> None:
    keep_heard(root, mp3=Attention(rating=4))
    with opened(root) as store:
        copy = plan_all(store, settings=PlanSettings(protect_loved=True)).groups[0].files[1]
    assert (copy.action, copy.rule, copy.why) == ("leave", "loved", "home: rated 4")


def test_a_copy_for_a_file_that_the_server_does_not_play() -> None:
    heard = Heard("home", (b"/m/a",), attention={b"/m/a/x": Attention(starred=True)})
    assert list(heard.losses(b"/m/a/x", b"/m/b/x")) == ["starred on home, which does not play the kept file"]
    assert list(heard.losses(b"/m/b/x", b"/m/a/x")) == []


def test_remembered_groups_are_those_of_the_evidence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.groups.remembered.LEAST_TRACKS", 0)
    place, keep = Place(root.parent / "cache", "test"), KeepSettings(("listener",))
    files = []
    for attention in ({}, {"mp3": Attention(starred=True)}, {}):
        keep_heard(root, **attention)
        with opened(root) as store:
            found = find_groups(store, MatchSettings(), keep, place=place)
            files.append(os.path.basename(found.groups[0].reference.path))
    assert files == [b"a.flac", b"a.mp3", b"a.flac"]


def test_remembered_bytes_are_those_of_the_evidence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.groups.remembered.LEAST_TRACKS", 0)
    place, found = Place(root.parent / "cache", "test"), []
    for plays in (0, 1, 0):
        keep_heard(root, mp3=Attention(plays=plays))
        with opened(root) as store:
            found.append(find_groups(store, MatchSettings(), KeepSettings(), place=place).groups[0].bytes_reclaimable)
    assert found[1] == 0 < found[0] == found[2]


# ---- the settings file ----

GOOD = """
[server.home]
kind = "subsonic"
url = "https://music.example.org/"
user = "anna"
token-file = "secret"
map = { "/music" = "~/Music", "/x" = "y" }
"""


def servers_in(folder: Path, text: str) -> tuple[ServerSettings, ...]:
    (folder / "settings.toml").write_text(text)
    return settle({}, {"REPRISE_CONFIG": str(folder / "settings.toml")}).servers


def test_servers_of_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    away = """
[server.away]
kind = "jellyfin"
url = "http://10.0.0.1:8096/jf"
user = "b"
password_command = "pass x"
wait = 5
insecure = true
map = { "/" = "/m" }
"""
    found = servers_in(tmp_path, GOOD + away)
    assert found == (
        ServerSettings("away", "jellyfin", "http://10.0.0.1:8096/jf", "b", (("/", b"/m"),), "pass x", "", True, 5.0),
        ServerSettings(
            "home",
            "subsonic",
            "https://music.example.org",
            "anna",
            (("/music", b"/home/anna/Music"), ("/x", os.fsencode(tmp_path / "y"))),
            token_file=str(tmp_path / "secret"),
        ),
    )
    assert servers_in(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"subsonic"', '"navidrome"', "server.home, kind: found 'navidrome'. Write 'subsonic' or 'jellyfin'"),
        ('user = "anna"\n', "", 'server.home: lacks user. Add user = "anna"'),
        ('token-file = "secret"\n', "", "server.home: lacks password-command or token-file. Give one of them"),
        ('token-file = "secret"', 'token-file = "x"\npassword-command = "y"', "has password-command and token-file"),
        (
            'token-file = "secret"',
            'password = "pssst"',
            "server.home, password: there is no such setting. Write password-command",
        ),
        ('token-file = "secret"', 'password-command = "x \'y"', "cannot be understood"),
        ("https://music", "https://anna:pssst@music", "is not the address of a server alone"),
        ("https://music.example.org/", "music?key=pssst", "is not the address of a server alone"),
        ("https://music.example.org/", "https://[::1", "is not the address of a server alone"),
        ('{ "/music" = "~/Music", "/x" = "y" }', "[]", 'server.home, map: found []. Write folders such as { "/music"'),
        ('"y"', "3", "server.home, map: found 3. Write some text"),
        ("user =", "users = 1\nuser =", "server.home, users: there is no such setting. Did you mean 'user'?"),
        ("[server.home]", "[server.home]\nwait = -1", "a number of seconds from 0 to 3,600"),
        ("[server.home]", "[server.home]\ninsecure = 1", "server.home, insecure: found 1. Write true or false"),
        ("[server.home]", '[server."my home"]', "a name of letters, digits"),
        ("[server.home]", "[server]", "server: is no table of servers"),
        ("[server.home]", "[profile.x.server.home]", "there is no such setting"),
    ],
)
def test_what_a_server_cannot_be(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        servers_in(tmp_path, GOOD.replace(old, new))
    assert words in str(caught.value) and "pssst" not in str(caught.value) and "\n" not in str(caught.value)
