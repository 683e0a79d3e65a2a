"""The plan as a document: it comes back as it was, and whatever is wrong with one is told, in lines, all at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import InputError, PlanError
from dedup.plain_text import json_text
from dedup.plan.document import Documents, from_bytes, is_plan, read_plan, to_bytes, to_json
from dedup.plan.nouns import ACTIONS, Plan, PlannedFile, PlannedGroup, PlannedPlaylist, PlannedSidecar
from dedup.plan.validate import VERDICTS
from dedup.servers.asked import Asked
from dedup.settings import MatchSettings
from dedup.tags.extras import EXTRA_KINDS
from dedup.tags.merge import CarriedExtra, Conflict, Merge

PAGE = Path(__file__).resolve().parent.parent / "dedup" / "plan" / "PLAN.md"


def file(path: bytes, action: Any = "leave", **others: Any) -> PlannedFile:
    return PlannedFile(path, action, 10, 5, b"c" * 16, **others)


ASKED = {"name": "home", "url": "https://music.example.org", "user": "anna", "folders": [{"path": "/m"}]}
PLAN = Plan(
    groups=(
        PlannedGroup((file(b"/m/a", "keep"), file(b"/m/b", "delete", verdict="same recording", score=0.9))),
        PlannedGroup((file(b"/m/c", "keep"), file(b"/m/caf\xe9", "hardlink", verdict="identical file"))),
    ),
    protect=(b"/safe",),
)


MERGE: dict[str, Any] = {"into": "/m/a", "fields": {}, "cover_from": None}


def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(to_bytes(PLAN))
    return made


def problems_of(found: Any) -> list[str]:
    data = found if isinstance(found, bytes) else json.dumps(found).encode()
    with pytest.raises(PlanError) as caught:
        from_bytes(data, "plan.json")
    assert caught.value.exit_code == 21
    assert str(caught.value).startswith("plan.json: ")
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


# ---- there and back ----

paths = st.binary(max_size=12).map(
    lambda data: (
        b"/" + b"/".join(part for part in data.replace(b"\0", b"/").split(b"/") if part not in (b"", b".", b".."))
    )
)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.lists(texts, max_size=2).map(tuple)
merges = st.builds(
    Merge,
    paths,
    st.dictionaries(texts, values, max_size=2),
    st.none() | paths,
    st.lists(st.builds(Conflict, texts, values, values, paths), max_size=2).map(tuple),
    st.lists(
        st.builds(
            CarriedExtra, st.sampled_from(EXTRA_KINDS), texts, st.integers(0, 2**64 - 1).map("{:016x}".format), paths
        ),
        max_size=2,
    ).map(tuple),
)


times = st.integers(-(2**63) + 1, 2**63 - 1)
sidecars = st.lists(
    st.builds(PlannedSidecar, paths, st.sampled_from(["with", "to kept"]), st.integers(0, 2**63 - 1), times), max_size=2
).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan that says nothing against itself."""
    left = draw(st.lists(paths, unique=True, max_size=8))
    groups = []
    while left:
        size = draw(st.integers(1, len(left)))
        own, left = left[:size], left[size:]
        goes = draw(st.sampled_from(ACTIONS[1:]))
        verdict = "identical file" if goes in ("hardlink", "reflink") else draw(st.sampled_from(VERDICTS))
        score = draw(st.none() | st.floats(-1, 1))
        files = [
            PlannedFile(
                path,
                "keep" if at == 0 else goes,
                draw(st.integers(0, 2**63 - 1)),
                draw(st.integers(-(2**63) + 1, 2**63 - 1)),
                draw(st.binary(min_size=16, max_size=16)),
                draw(texts),
                draw(texts),
                verdict if at else "",
                score,
                draw(texts),
                sidecars=draw(sidecars) if at else (),
            )
            for at, path in enumerate(own)
        ]
        groups.append(PlannedGroup(tuple(files), draw(st.none() | merges), draw(texts)))
    return Plan(
        groups=tuple(groups),
        playlists=tuple(PlannedPlaylist(path, 3, draw(texts)) for path in draw(st.lists(paths, max_size=2))),
        to=draw(st.none() | paths),
        remove_empty_folders=draw(st.booleans()),
        match=MatchSettings(min_score=draw(st.none() | st.floats(0, 1)), classic=draw(st.none() | st.just(0.5))),
        rules=draw(values),
        identity=draw(st.sampled_from(["recording", "album"])),
        made=draw(texts),
        store=draw(texts),
        servers=tuple(
            Asked(*draw(st.tuples(texts, texts, texts, texts)), tuple(draw(st.lists(paths, max_size=2))))
            for _ in range(draw(st.integers(0, 2)))
        ),
    )


@settings(max_examples=40)
@given(plans())
def test_a_plan_comes_back_as_it_was(plan: Plan) -> None:
    for indent in (1, None):
        data = to_bytes(plan, indent)
        assert from_bytes(data, "plan.json") == plan
        assert is_plan(data)
    assert len(to_bytes(plan, None).splitlines()) == 1
    whole = json_text(to_json(plan), indent=1)
    assert to_bytes(plan) == whole.encode("utf-8", "backslashreplace") + b"\n"


@settings(max_examples=40)
@given(plans(), plans())
def test_documents_one_after_the_other_are_as_each_alone(one: Plan, other: Plan) -> None:
    documents = Documents()
    for plan in (one, replace(other, groups=(*one.groups, *other.groups)), one, other):
        assert documents.to_bytes(plan) == to_bytes(plan)


def test_paths_that_are_no_utf8_and_protected_folders_come_back() -> None:
    assert from_bytes(to_bytes(PLAN), "") == PLAN
    named = to_json(PLAN)["groups"][1]["files"][1]
    assert (named["path"], named["path_hex"]) == ("/m/caf\\xe9", b"/m/caf\xe9".hex())


def test_a_plan_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"\xef\xbb\xbf" + to_bytes(PLAN))  # as some editors do
    assert read_plan(bytes(path)) == PLAN
    with pytest.raises(InputError, match="No such file"):
        read_plan(bytes(tmp_path / "none.json"))
    with pytest.raises(InputError):
        read_plan(bytes(tmp_path))


# ---- what is wrong ----


def first_file(found: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = found["groups"][0]["files"][0]
    return first


def second_file(found: dict[str, Any]) -> dict[str, Any]:
    second: dict[str, Any] = found["groups"][0]["files"][1]
    return second


IN_B = "group 1, file 2 (/m/b): "


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda d: second_file(d).update(action="remove"), IN_B + "action is 'remove'; write one of keep, leave, quar"),
        (lambda d: second_file(d).update(action=["keep"]), IN_B + "action is ['keep']; write one of"),
        (lambda d: second_file(d).pop("action"), IN_B + "action is missing; write one of"),
        (lambda d: second_file(d).pop("path"), "group 1, file 2: path is missing; write an absolute path"),
        (lambda d: second_file(d).update(path="m/b"), "group 1, file 2: path is 'm/b'; write an absolute path"),
        (lambda d: second_file(d).update(path="/m/../b"), "without '..'"),
        (lambda d: second_file(d).update(path="/m//b"), "'//'"),
        (lambda d: second_file(d).update(path="/m/b/"), "path is '/m/b/'"),
        (lambda d: second_file(d).update(path="//m/b"), "path is '//m/b'"),
        (lambda d: second_file(d).update(path="/m/\0b"), "path is '/m/"),
        (lambda d: second_file(d).update(path="/m/\udcff"), r"path is '/m/\udcff'; write an absolute path"),
        (lambda d: second_file(d).update(path=7), "path is 7; write"),
        (lambda d: second_file(d).update(path_hex="xy"), "path is 'xy'; write"),
        (lambda d: second_file(d).update(path_hex=7), "path is 7; write"),
        (lambda d: second_file(d).update(size="10"), IN_B + "size is '10'; write the size of the file in bytes"),
        (lambda d: second_file(d).update(size=-1), "size is -1"),
        (lambda d: second_file(d).update(size=True), "size is True"),
        (lambda d: second_file(d).update(size=10**300), "size is 1000000000"),
        (lambda d: second_file(d).update(size=1.0), "size is 1.0"),
        (
            lambda d: second_file(d).update(mtime_ns=5),
            "mtime_ns is 5; write the time of change in nanoseconds, as a string",
        ),
        (lambda d: second_file(d).update(mtime_ns="9" * 19), "mtime_ns is '9999"),
        (lambda d: second_file(d).update(mtime_ns="٣"), "mtime_ns"),
        (lambda d: second_file(d).update(content="abc"), "content is 'abc'; write 32 hex digits"),
        (lambda d: second_file(d).update(verdict="same"), "verdict is 'same'; write one of same file, identical file"),
        (lambda d: second_file(d).update(score="high"), "score is 'high'; write a number or null"),
        (lambda d: second_file(d).update(why=3), "why is 3; write a string"),
        (lambda d: second_file(d).update(why="\ud800"), "why is '"),
        (lambda d: second_file(d).update(acton="keep"), IN_B + "'acton' is an unknown field; remove it"),
        (lambda d: second_file(d).update(action="keep"), None),
        (lambda d: first_file(d).update(action="leave"), "group 1: no files have the action 'keep', but others change"),
        (
            lambda d: d["groups"][0]["files"].append({**first_file(d), "path": "/m/z"}),
            "group 1: 2 files have the action",
        ),
        (
            lambda d: d["groups"][0]["files"].append({**second_file(d)}),
            "group 1: /m/b is in group 1 too; list it only once",
        ),
        (lambda d: d["groups"].append({"files": [first_file(d)]}), "group 3: /m/a is in group 1 too"),
        (lambda d: second_file(d).update(action="reflink"), "group 1: /m/b cannot share the bytes of the kept file"),
        (
            lambda d: second_file(d).update(path="/safe/b"),
            "group 1: /safe/b is in a protected folder; write the act",
        ),
        (lambda d: d["groups"].insert(0, 3), "group 1: found 3; write an object"),
        (lambda d: d["groups"][0].update(files={}), "group 1: files is {}; write a list"),
        (lambda d: d["groups"][0]["files"].append(None), "group 1, file 3: found None; write an object"),
        (lambda d: d["groups"][0].update(merge=[]), "group 1, merge: found []; write an object"),
        (
            lambda d: d["groups"][0].update(merge={**MERGE, "extras": [{"kind": "cues", "digest": "x", "path": "/m"}]}),
            "group 1, merge, extra 1: digest is 'x'; write 16 hex digits",
        ),
        (
            lambda d: d["groups"][0].update(merge={"into": "/m/a", "fields": {"title": "x"}, "cover_from": None}),
            "group 1, merge: fields is {'title': 'x'}; write an object whose values are lists of strings",
        ),
        (lambda d: d.update(groups=None), "plan: groups is None; write a list"),
        (lambda d: d.pop("groups"), "plan: groups is missing; write a list"),
        (lambda d: d.pop("protect"), "plan: protect is missing; write a list"),
        (lambda d: d.update(protect=["/safe"]), "protect 1: found '/safe'; write an object"),
        (lambda d: d.pop("to"), "plan: to is missing; write an absolute path or null"),
        (lambda d: d.update(to="here"), "plan: to is 'here'; write an absolute path"),
        (lambda d: d.update(remove_empty_folders=1), "plan: remove_empty_folders is 1; write true or false"),
        (lambda d: d.update(identity="disc"), "plan: identity is 'disc'; write 'recording' or 'album'"),
        (lambda d: d.pop("match"), "match: found None; write an object"),
        (lambda d: d["match"].update(min_score=7), "match: setting min-score: found 7. Write a number from 0 to 1"),
        (lambda d: d["match"].update(max_false=None), "match: "),
        (lambda d: d["match"].pop("classic"), "match: classic is missing"),
        (lambda d: d.update(version=2), "plan: found format 'reprise-plan', version 2; this release reads format"),
        (lambda d: d.update(version="1"), "version '1'; this release reads"),
        (lambda d: d.update(version=True), "version True; this release reads"),
        (lambda d: d.update(format="plan"), "plan: found format 'plan', version 1"),
        (lambda d: d.update(servers=[ASKED]), "server 1: kind is missing; write a string"),
        (lambda d: d.update(note="x"), "plan: 'note' is an unknown field; remove it"),
        (lambda d: d.update(playlists=[{"path": "/l.m3u"}]), "playlist 1: n_references is missing"),
    ],
)
def test_each_mistake_is_told_with_its_place(edit: Callable[[Any], Any], problem: str | None) -> None:
    found = document()
    edit(found)
    if problem is None:  # two are kept, and nothing goes
        assert from_bytes(json.dumps(found).encode(), "").n_files == 1
        return
    told = problems_of(found)
    assert any(problem in line for line in told), told
    assert len(told) == 1, told


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = document()
    first_file(found)["size"] = None
    second_file(found)["action"] = "burn"
    found["groups"][1]["files"][0]["content"] = ""
    found["identity"] = 1
    found["extra"] = 1
    told = problems_of(found)
    assert len(told) == 5
    with pytest.raises(PlanError, match="and 4 more"):
        from_bytes(json.dumps(found).encode(), "")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is not a plan (not JSON): "),
        (b"\xff\xfe\xff", "is not a plan (not JSON): "),
        (b"[" * 200_000, "nested too deep"),
        (
            b'{"format": "reprise-plan", "version": 1, "groups": [' + b"[" * 50 + b"]" * 50 + b"]}",
            "write an object",
        ),
        (
            b'{"format": "reprise-plan", "version": 1, "groups": [' + b"[" * 70 + b"]" * 70 + b"]}",
            "nested too deep (more than 64)",
        ),
        (b"[]", "found []; this release reads format"),
        (b"null", "found None"),
        (b'{"a": NaN}', "there is no number NaN"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice in one object"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not a plan (not JSON): "),
        (b'{"format": "reprise-plan", "version": 1e999}', "version inf"),
    ],
)
def test_what_is_no_plan_at_all(data: bytes, problem: str) -> None:
    assert any(problem in line for line in problems_of(data))


def test_entries_may_be_taken_out_and_notes_be_made() -> None:
    found = document()
    found["_mine"] = {"any": "thing"}
    second_file(found)["_why not"] = 1
    del found["groups"][1]["files"][0]
    found["groups"][1]["files"][0]["action"] = "leave"
    found["groups"].append({"files": []})
    del found["totals"], found["made"], found["store"], found["rules"], found["identity"], found["playlists"]
    for name in ("rule", "why", "score"):
        del second_file(found)[name]
    plan = from_bytes(json.dumps(found).encode(), "")
    assert (plan.n_files, len(plan.groups)) == (1, 3)


def test_another_file_may_be_kept() -> None:
    found = document()
    first_file(found)["action"], second_file(found)["action"] = "quarantine", "keep"
    plan = from_bytes(json.dumps(found).encode(), "")
    assert plan.groups[0].kept is not None
    assert plan.groups[0].kept.path == b"/m/b"
    linked = found["groups"][1]["files"]
    linked[0]["action"], linked[1]["action"] = "hardlink", "keep"
    assert from_bytes(json.dumps(found).encode(), "").n_files == 2, "identical is so in both directions"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    own = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [(value, key) for key in own] + [place for key in own for place in places_in(value[key])]


@settings(max_examples=150)
@given(st.data())
def test_a_hostile_document_is_a_plan_error_or_a_plan(data: st.DataObject) -> None:
    found = json.loads(example())
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places_in(found)))
        container[key] = data.draw(junk)
    text = json.dumps(found).encode()
    try:
        plan = from_bytes(text, "plan.json")
    except PlanError as error:
        assert error.problems
        assert all("\n" not in problem and len(problem) < 1000 for problem in error.problems)
        return
    assert from_bytes(to_bytes(plan), "") == plan


@settings(max_examples=150)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_hostile_bytes_are_a_plan_error(data: bytes) -> None:
    with pytest.raises(PlanError):
        from_bytes(data, "plan.json")
    assert not is_plan(data)


# ---- the page ----


def example() -> bytes:
    found = re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1].encode()


def test_the_page_shows_a_sound_plan_with_its_totals() -> None:
    plan = from_bytes(example(), "PLAN.md")
    assert to_json(plan) == json.loads(example())


def test_the_page_names_every_field_action_and_reason() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_ ]+)`", page))
    made = to_json(Plan((PlannedGroup((file(b"/m/a"),), Merge(b"/m/a", conflicts=(Conflict("x", (), (), b"/m"),))),)))
    fields = [*made, *made["groups"][0], *made["groups"][0]["files"][0], *made["groups"][0]["merge"]]
    assert {*fields, *ACTIONS} <= named
    decide = (PAGE.parent / "decide.py").read_text(encoding="utf-8")
    assert set(re.findall(r'return "([a-z ]+)", f?"', decide)) | {"album"} <= named
