"""Reads a plan from JSON values, whoever wrote them, and reports all that is wrong: each problem is one line that names
the group, the file, what was found and what to write. Pure."""

from __future__ import annotations

import math
import posixpath
import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, get_args

from dedup.correlation.scoring import Verdict
from dedup.errors import UsageError
from dedup.files.paths import path_from_json, printable
from dedup.groups.keep import is_below
from dedup.groups.losses import Loss
from dedup.plan.nouns import ACTIONS, LINKING, STAYING, Plan, PlannedFile, PlannedGroup, PlannedPlaylist, PlannedSidecar
from dedup.servers.asked import Asked
from dedup.settings import IDENTITIES, LOSS_KINDS, MatchSettings
from dedup.store.judgements import CONTENT_BYTES
from dedup.tags.extras import EXTRA_KINDS
from dedup.tags.merge import CarriedExtra, Conflict, Merge

FORMAT, VERSION = "reprise-plan", 1

LARGEST = 2**63 - 1
VERDICTS: tuple[str, ...] = ("", *get_args(Verdict))

_MISSING = object()


def parse_plan(document: Any, problems: list[str]) -> Plan | None:
    """The plan, if nothing is wrong; else None, and `problems` gets what is wrong."""
    top = Fields(document, "plan", problems)
    told, version = top.take("format"), top.take("version")
    if not top.is_object or told != FORMAT or version is True or version != VERSION:
        remedy = f"this release reads format {FORMAT!r}, version {VERSION}: make a new plan with `reprise plan`"
        found = f"format {_shown(told)}, version {_shown(version)}" if top.is_object else _shown(document)
        problems[:] = [f"plan: found {found}; {remedy}"]
        return None
    plan = Plan(
        groups=tuple(filter(None, (_group(g, f"group {n}", problems) for n, g in enumerate(top.list("groups"), 1)))),
        playlists=tuple(_playlist(p, f"playlist {n}", problems) for n, p in enumerate(top.list("playlists", ()), 1)),
        to=top.path("to", or_null=True),
        remove_empty_folders=top.value("remove_empty_folders", _is_switch, "true or false", False),
        protect=tuple(
            Fields(folder, f"protect {n}", problems).whole_path() for n, folder in enumerate(top.list("protect"), 1)
        ),
        match=_match(top.take("match"), problems),
        rules=top.texts("rules", ()),
        identity=top.value("identity", IDENTITIES.__contains__, " or ".join(map(repr, IDENTITIES)), "recording", False),
        made=top.text("made", ""),
        store=top.text("store", ""),
        servers=tuple(_server(s, f"server {n}", problems) for n, s in enumerate(top.list("servers", ()), 1)),
        seal=top.text("seal", ""),
    )
    top.take("totals")
    top.end()
    if not problems:
        problems += _contradictions(plan)
    return None if problems else plan


class Fields:
    """One JSON object, read field by field. Reports what is wrong, and returns a value of the right type."""

    def __init__(self, value: Any, where: str, problems: list[str]) -> None:
        self.is_object = isinstance(value, dict)
        self._rest: dict[str, Any] = dict(value) if self.is_object else {}
        self.where, self.problems = where, problems
        if not self.is_object:
            self.say(f"found {_shown(value)}; write an object")

    def say(self, what: str) -> None:
        self.problems.append(f"{self.where}: {what}")

    def take(self, name: str) -> Any:
        return self._rest.pop(name, _MISSING)

    def value(self, name: str, fits: Callable[[Any], bool], expected: str, default: Any, required: bool = True) -> Any:
        """The field, if it fits; else the default."""
        found = self.take(name)
        if found is _MISSING:
            if required and self.is_object:
                self.say(f"{name} is missing; write {expected}")
            return default
        if isinstance(found, (str, int, float, list, dict, type(None))) and _fits(fits, found):
            return found
        self.say(f"{name} is {_shown(found)}; write {expected}")
        return default

    def text(self, name: str, default: str | None = None) -> str:
        """A string; required if there is no default."""
        found: str = self.value(name, _is_text, "a string", default or "", default is None)
        return found

    def texts(self, name: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        return tuple(self.value(name, are_texts, "a list of strings", default or (), default is None))

    def list(self, name: str, default: Sequence[Any] | None = None) -> Sequence[Any]:
        found: Sequence[Any] = self.value(name, _is_list, "a list", default or (), default is None)
        return found

    def path(self, name: str, or_null: bool = False) -> Any:
        """An absolute path as `json_path` writes it under this name; None only with `or_null`."""
        hex_name = f"{name}_hex"
        told = {name: self.take(name), hex_name: self.take(hex_name)}
        if or_null and told[name] is None and told[hex_name] is _MISSING:
            return None
        given = {key.replace(name, "path", 1): value for key, value in told.items() if value is not _MISSING}
        try:
            path = path_from_json(given)
        except (KeyError, ValueError, TypeError, AttributeError):
            if self.is_object:
                shown = told[hex_name] if told[hex_name] is not _MISSING else told[name]
                found = "missing" if shown is _MISSING else _shown(shown)
                self.say(f"{name} is {found}; write an absolute path{' or null' * or_null}")
            return b""
        if not _is_plain(path):
            self.say(f"{name} is {_shown(printable(path))}; write an absolute path without '..', '.' and '//'")
        return path

    def time(self, name: str) -> int:
        """A time in nanoseconds."""
        return int(self.value(name, _is_time, "the time of change in nanoseconds, as a string of digits", "0"))

    def whole_path(self) -> bytes:
        """The path of an object that holds nothing else."""
        path: bytes = self.path("path")
        self.end()
        return path

    def end(self) -> None:
        """Reports the fields that are left as unknown, except those that begin with _: they are the author's own."""
        for name in self._rest:
            if not name.startswith("_"):
                self.say(f"{_shown(name)} is an unknown field; remove it, or put _ before its name")


# ---- the parts ----


def _group(value: Any, where: str, problems: list[str]) -> PlannedGroup | None:
    group, before = Fields(value, where, problems), len(problems)
    listed = [_file(file, f"{where}, file {n}", problems) for n, file in enumerate(group.list("files"), 1)]
    merge = group.take("merge")
    made = PlannedGroup(
        files=tuple(listed),
        merge=None if merge in (None, _MISSING) else _merge(merge, f"{where}, merge", problems),
        note=group.text("note", ""),
    )
    group.end()
    return made if len(problems) == before else None


def _server(value: Any, where: str, problems: list[str]) -> Asked:
    server = Fields(value, where, problems)
    made = Asked(
        name=server.text("name"),
        kind=server.text("kind"),
        url=server.text("url"),
        user=server.text("user"),
        folders=tuple(
            Fields(folder, f"{where}, folder {n}", problems).whole_path()
            for n, folder in enumerate(server.list("folders"), 1)
        ),
    )
    server.end()
    return made


def _file(value: Any, where: str, problems: list[str]) -> PlannedFile:
    file = Fields(value, where, problems)
    path = file.path("path")
    if path:
        file.where = f"{where} ({printable(path)})"
    made = PlannedFile(
        path=path,
        action=file.value("action", ACTIONS.__contains__, f"one of {', '.join(ACTIONS)}", "leave"),
        size=file.value("size", _is_size, "the size of the file in bytes", 0),
        mtime_ns=file.time("mtime_ns"),
        content=bytes.fromhex(
            file.value("content", _is_content, f"{2 * CONTENT_BYTES} hex digits", "00" * CONTENT_BYTES)
        ),
        rule=file.text("rule", ""),
        why=file.text("why", ""),
        verdict=file.value("verdict", VERDICTS.__contains__, f"one of {', '.join(VERDICTS[1:])}, or ''", ""),
        score=file.value("score", _is_score, "a number or null", None, required=False),
        null_test=file.text("null_test", ""),
        lost=tuple(_loss(loss, f"{where}, lost {n}", problems) for n, loss in enumerate(file.list("lost", ()), 1)),
        sidecars=tuple(
            _sidecar(s, f"{where}, side-car {n}", problems) for n, s in enumerate(file.list("sidecars", ()), 1)
        ),
        seal=file.text("seal", ""),
    )
    file.end()
    return made


def _sidecar(value: Any, where: str, problems: list[str]) -> PlannedSidecar:
    sidecar = Fields(value, where, problems)
    made = PlannedSidecar(
        path=sidecar.path("path"),
        action=sidecar.value("action", ("with", "to kept").__contains__, "with or to kept", "with"),
        size=sidecar.value("size", _is_size, "the size of the file in bytes", 0),
        mtime_ns=sidecar.time("mtime_ns"),
    )
    sidecar.end()
    return made


def _loss(value: Any, where: str, problems: list[str]) -> Loss:
    loss = Fields(value, where, problems)
    kind = loss.value("kind", LOSS_KINDS.__contains__, f"one of {', '.join(LOSS_KINDS)}", "span")
    made = Loss(kind, loss.text("what", ""))
    loss.end()
    return made


def _merge(value: Any, where: str, problems: list[str]) -> Merge:
    merge = Fields(value, where, problems)
    into, cover_from = merge.path("into"), merge.path("cover_from", or_null=True)
    united = merge.value("fields", _are_fields, "an object whose values are lists of strings", {})
    conflicts = [_conflict(c, f"{where}, conflict {n}", problems) for n, c in enumerate(merge.list("conflicts", ()), 1)]
    extras = [_extra(e, f"{where}, extra {n}", problems) for n, e in enumerate(merge.list("extras", ()), 1)]
    merge.end()
    fields = {name: tuple(values) for name, values in united.items()}
    return Merge(into, fields, cover_from, tuple(conflicts), tuple(extras))


def _extra(value: Any, where: str, problems: list[str]) -> CarriedExtra:
    extra = Fields(value, where, problems)
    made = CarriedExtra(
        kind=extra.value("kind", EXTRA_KINDS.__contains__, f"one of {', '.join(EXTRA_KINDS)}", "chapters"),
        what=extra.text("what", ""),
        digest=extra.value("digest", _is_digest, "16 hex digits", ""),
        path=extra.path("path"),
    )
    extra.end()
    return made


def _conflict(value: Any, where: str, problems: list[str]) -> Conflict:
    conflict = Fields(value, where, problems)
    made = Conflict(conflict.text("name"), conflict.texts("kept"), conflict.texts("other"), conflict.path("path"))
    conflict.end()
    return made


def _playlist(value: Any, where: str, problems: list[str]) -> PlannedPlaylist:
    playlist = Fields(value, where, problems)
    path, problem = playlist.path("path"), playlist.text("problem", "")
    made = PlannedPlaylist(path, playlist.value("n_references", _is_size, "a number of references", 0), problem)
    playlist.end()
    return made


def _match(value: Any, problems: list[str]) -> MatchSettings:
    """Thresholds of the match, all of them required: a default could silently replace one that is left out."""
    match = Fields(None if value is _MISSING else value, "match", problems)
    before = len(problems)
    numbers = {f.name: match.value(f.name, _is_score, "a number or null", None) for f in fields(MatchSettings)}
    match.end()
    if len(problems) > before or not match.is_object:
        return MatchSettings()
    try:
        return MatchSettings(**numbers)
    except (UsageError, TypeError) as error:
        match.say(str(error))
        return MatchSettings()


# ---- what contradicts itself ----


def _contradictions(plan: Plan) -> list[str]:
    found: list[str] = []
    listed: dict[bytes, str] = {}
    for number, group in enumerate(plan.groups, 1):
        where = f"group {number}"
        found += _of_group(group, where)
        for file in group.files:
            if file.path in listed:
                found.append(f"{where}: {printable(file.path)} is in {listed[file.path]} too; list it only once")
            listed.setdefault(file.path, where)
            if file.action not in STAYING and is_below(file.path, plan.protect):
                found.append(f"{where}: {printable(file.path)} is in a protected folder; write the action 'leave'")
    return found


def _of_group(group: PlannedGroup, where: str) -> list[str]:
    n_kept = sum(file.action == "keep" for file in group.files)
    if not group.changed:
        return []
    if group.kept is None:
        return [
            f"{where}: {n_kept or 'no'} files have the action 'keep', but others change; write 'keep' for exactly one"
        ]
    return [
        f"{where}: {printable(file.path)} cannot share the bytes of the kept file, which differ from its own; "
        f"write another action than {file.action!r}"
        for file in group.changed
        if file.action in LINKING and not _are_identical(file, group.kept)
    ]


def _are_identical(file: PlannedFile, kept: PlannedFile) -> bool:
    """Whether the verdicts say so; all are relative to the file that was to be kept first, and has none."""
    return {file.verdict, kept.verdict} <= {"", "identical file"}


# ---- what fits ----


def _fits(fits: Callable[[Any], bool], value: Any) -> bool:
    try:
        return fits(value)
    except TypeError:  # a list or an object is in no set of words
        return False


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half a character
        return False
    return True


def are_texts(value: Any) -> bool:
    """Whether it is a list of whole texts, without half a character."""
    return isinstance(value, list) and all(map(_is_text, value))


def _are_fields(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value)) and all(map(are_texts, value.values()))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_time(value: Any) -> bool:
    digits = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value)
    return bool(digits) and abs(int(value)) <= LARGEST


def _is_content(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{2 * CONTENT_BYTES}}}", value) is not None


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16}", value) is not None


def _is_score(value: Any) -> bool:
    if value is None:
        return True
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= LARGEST and math.isfinite(value)


def _is_plain(path: bytes) -> bool:
    return (
        path.startswith(b"/") and not path.startswith(b"//") and posixpath.normpath(path) == path and b"\0" not in path
    )


def _shown(value: Any) -> str:
    """A value for a person: short, on one line."""
    return "nothing" if value is _MISSING else _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
