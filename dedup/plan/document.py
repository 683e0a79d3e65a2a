"""A plan as a JSON document, and back: PLAN.md says what is in it. A document may come from an editor or a script, so
everything that is wrong with it is reported at once, as one PlanError. The files that it names are not looked at."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from dedup.errors import InputError, PlanError, refused, writing
from dedup.files.paths import json_path, printable
from dedup.nesting import MOST_DEEP, is_too_deep
from dedup.plain_text import json_text
from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup, PlannedPlaylist, PlannedSidecar
from dedup.plan.validate import FORMAT, VERSION, parse_plan
from dedup.servers.asked import Asked
from dedup.tags.merge import CarriedExtra, Conflict, Merge

_ANOTHER = "Name another file for the plan"


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan in JSON types; `from_bytes` reads it. The totals are for people."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "made": plan.made,
        "store": plan.store.encode("utf-8", "backslashreplace").decode(),
        "rules": list(plan.rules),
        "identity": plan.identity,
        "match": asdict(plan.match),
        **({"seal": plan.seal} if plan.seal else {}),
        "protect": [json_path(folder) for folder in plan.protect],
        **(_named("to", plan.to) if plan.to is not None else {"to": None}),
        "remove_empty_folders": plan.remove_empty_folders,
        **({"servers": [_server(server) for server in plan.servers]} if plan.servers else {}),
        "totals": totals(plan),
        "groups": [_group(group) for group in plan.groups],
        "playlists": [_playlist(playlist) for playlist in plan.playlists],
    }


def to_bytes(plan: Plan, indent: Literal[1] | None = 1) -> bytes:
    """The document as a file holds it, UTF-8; on one line if `indent` is None. Encoded group by group, since all parts
    of a large document at once take several times its memory."""
    if indent is not None:
        return _assembled(plan, map(_group_text, plan.groups))
    return _encoded(_text(to_json(plan), indent)) + b"\n"


class Documents:
    """Plans as documents, one after the other, each as `to_bytes` makes it. Groups that the plan before had too are not
    encoded again: for 20,000 groups that takes a fifteenth of the time."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[PlannedGroup, str]] = {}
        """Groups with their texts, by `id`."""

    def to_bytes(self, plan: Plan) -> bytes:
        """The document, UTF-8."""
        self._known = {id(group): self._known.get(id(group)) or (group, _group_text(group)) for group in plan.groups}
        return _assembled(plan, (self._known[id(group)][1] for group in plan.groups))


def totals(plan: Plan) -> dict[str, int]:
    """Numbers of groups, of files that change, of their bytes, of merges, of side-cars that go, and of playlists to be
    rewritten and those that cannot be."""
    return {
        "groups": len(plan.groups),
        "files": plan.n_files,
        "bytes": plan.n_bytes,
        "merges": sum(bool(group.merge) for group in plan.groups),
        "sidecars": len({each.path for group in plan.groups for file in group.files for each in file.sidecars}),
        "playlists": sum(not playlist.problem for playlist in plan.playlists),
        "playlists_left": sum(bool(playlist.problem) for playlist in plan.playlists),
    }


def from_bytes(data: bytes, where: str) -> Plan:
    """The plan of a document, which `where` names. Raises PlanError with everything that is wrong."""
    problems: list[str] = []
    document = parsed(data, problems)
    plan = None if problems else parse_plan(document, problems)
    if plan is None or problems:
        raise PlanError(where, problems)
    return plan


def read_plan(path: bytes) -> Plan:
    """The plan in a file. Raises InputError if the file cannot be read, PlanError as `from_bytes` does."""
    try:
        data = Path(path.decode("utf-8", "surrogateescape")).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(printable(path), reason, remedy="`reprise plan -o FILE` writes a plan") from error
    return from_bytes(data, printable(path))


def is_plan(data: bytes) -> bool:
    """Whether the data is meant to be a plan, sound or not."""
    document = parsed(data, [])
    return isinstance(document, dict) and document.get("format") == FORMAT


def is_replaceable(path: bytes) -> bool:
    """Whether there is a plan at that path, sound or not; False if there is nothing. Raises InputError if there is
    anything else, or if its folder does not exist."""
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                begins_so = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")  # avoids reading a whole film
                file.seek(0)
                if begins_so and is_plan(file.read()):
                    return True
    except FileNotFoundError:
        if os.path.isdir(os.path.dirname(os.path.abspath(path))):
            return False
        raise InputError(printable(path), "its folder does not exist", remedy=_ANOTHER) from None
    except OSError as error:
        raise InputError(printable(path), error.strerror or str(error), remedy=_ANOTHER) from error
    found = "is not a plan, so it is not replaced"
    raise InputError(printable(path), found, remedy=_ANOTHER)


def write_plan(path: bytes, plan: Plan, encode: Callable[[Plan], bytes] = to_bytes) -> None:
    """Writes the document that `encode` makes, all or nothing. Call it while the plan is `locked`. Raises WriteError if
    it cannot be written."""
    write_document(path, lambda: encode(plan))


def write_document(path: bytes, encode: Callable[[], bytes]) -> None:
    """Writes any document in the same way."""
    part = path + b".%d.part" % os.getpid()
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)  # of a process that was killed and had this number
        with open(part, "xb") as file:
            file.write(encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise refused(printable(path), error, "name another file with -o") from error


@contextlib.contextmanager
def locked(path: bytes) -> Iterator[None]:
    """Keeps other writers of a plan out. The lock is on the folder of the file, since each version of the file is
    another one; the system releases it when the process ends, however it ends. Raises WriteError."""
    folder = os.path.dirname(os.path.abspath(path))
    with writing(printable(folder), "name another file with -o"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with writing(printable(folder), "name another file with -o"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        with writing(printable(folder)):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- encoding ----


def _text(value: Any, indent: Literal[1] | None = 1) -> str:
    return json_text(value, allow_nan=False, indent=indent)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _assembled(plan: Plan, group_texts: Iterable[str]) -> bytes:
    """The document of a plan whose groups have these texts."""
    empty = _text({**to_json(replace(plan, groups=())), "totals": totals(plan)})
    if not plan.groups:
        return _encoded(empty) + b"\n"
    before, _, after = empty.partition('\n "groups": []')
    groups = b",\n  ".join(map(_encoded, group_texts))
    return b"".join((_encoded(before), b'\n "groups": [\n  ', groups, b"\n ]", _encoded(after), b"\n"))


def _group_text(group: PlannedGroup) -> str:
    """A group as the list of a document holds it; line breaks occur only between the parts of JSON, never in a text."""
    return _text(_group(group)).replace("\n", "\n  ")


def _named(name: str, path: bytes) -> dict[str, str]:
    return {key.replace("path", name, 1): text for key, text in json_path(path).items()}


def _group(group: PlannedGroup) -> dict[str, Any]:
    return {
        "note": group.note,
        "files": [file_to_json(file) for file in group.files],
        "merge": merge_to_json(group.merge) if group.merge is not None else None,
    }


def file_to_json(file: PlannedFile) -> dict[str, Any]:
    """A file of a group in JSON types."""
    return {**unsealed_to_json(file), **({"seal": file.seal} if file.seal else {})}


def unsealed_to_json(file: PlannedFile) -> dict[str, Any]:
    """The same without its seal: what the plan says about it."""
    return {
        **json_path(file.path),
        "action": file.action,
        "rule": file.rule,
        "why": file.why,
        "verdict": file.verdict,
        "score": file.score,
        **({"null_test": file.null_test} if file.null_test else {}),
        "size": file.size,
        "mtime_ns": str(file.mtime_ns),  # as text: many programs round a number of that size
        "content": file.content.hex(),
        "lost": [{"kind": loss.kind, "what": loss.what} for loss in file.lost],
        **({"sidecars": [_sidecar(each) for each in file.sidecars]} if file.sidecars else {}),
    }


def _sidecar(sidecar: PlannedSidecar) -> dict[str, Any]:
    size, mtime_ns = sidecar.size, str(sidecar.mtime_ns)
    return {**json_path(sidecar.path), "action": sidecar.action, "size": size, "mtime_ns": mtime_ns}


def _playlist(playlist: PlannedPlaylist) -> dict[str, Any]:
    problem = {"problem": playlist.problem} if playlist.problem else {}
    return {**json_path(playlist.path), "n_references": playlist.n_references, **problem}


def _server(server: Asked) -> dict[str, Any]:
    folders = [json_path(folder) for folder in server.folders]
    return {"name": server.name, "kind": server.kind, "url": server.url, "user": server.user, "folders": folders}


def merge_to_json(merge: Merge) -> dict[str, Any]:
    """What a kept file gets, in JSON types."""
    return {
        **_named("into", merge.into),
        "fields": {name: list(values) for name, values in merge.fields.items()},
        **(_named("cover_from", merge.cover_from) if merge.cover_from is not None else {"cover_from": None}),
        "extras": [_extra(extra) for extra in merge.extras],
        "conflicts": [_conflict(conflict) for conflict in merge.conflicts],
    }


def _extra(extra: CarriedExtra) -> dict[str, Any]:
    return {"kind": extra.kind, "what": extra.what, "digest": extra.digest, **json_path(extra.path)}


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "name": conflict.name,
        "kept": list(conflict.kept),
        "other": list(conflict.other),
        **json_path(conflict.path),
    }


# ---- parsing ----


def parsed(data: bytes, problems: list[str], what: str = "a plan") -> Any:
    """The JSON value; None, and a problem, if it is not JSON and so not `what`."""
    try:
        if is_too_deep(data):
            raise RecursionError
        return json.loads(data, parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError:  # of a text in UTF-16
        problems.append(f"is not {what}: brackets are nested too deep (more than {MOST_DEEP})")
    except (ValueError, MemoryError) as error:
        problems.append(f"is not {what} (not JSON): {error}")
    return None


def _refuse(name: str) -> Any:
    raise ValueError(f"there is no number {name}")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which each key occurs once: with two, nobody could know which was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice!r} occurs twice in one object")
    return found
