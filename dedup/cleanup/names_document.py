"""What is to be written into tags, as a JSON document that a person looks through and edits, and back. The document may
come from an editor, so all that is wrong with it is told at once."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.cleanup.checks import Protection
from dedup.cleanup.names import Compared, compared
from dedup.clock import utc_now
from dedup.errors import InputError, PlanError
from dedup.files.paths import json_path, printable
from dedup.lookup.tag_fields import ALL, Changes, Fields
from dedup.plain_text import json_text
from dedup.plan import validate
from dedup.plan.document import locked, parsed, write_document
from dedup.store.protection import protected
from dedup.tags.values import PAIRS, normalised

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.settings import KeepSettings
    from dedup.store.store import Store

FORMAT, VERSION = "reprise-names", 1
_WHAT = "a list of names"
_BEGINNING = 4096


@dataclass(frozen=True)
class Listed:
    """An entry of a document."""

    path: bytes
    size_and_time: tuple[int, int]
    """Size and modification time of the file when the document was made."""
    fields: dict[str, tuple[str, ...]]
    """Values to be written, in their common form."""


# ---- writing ----


def write_names(path: bytes, files: Sequence[Compared], store: Store) -> None:
    """Writes the document of these files; those that cannot be written are left out. Raises InputError as
    `require_replaceable` does, WriteError."""
    with locked(path):
        require_replaceable(path)
        write_document(path, lambda: _encoded(files, store))


def _encoded(files: Sequence[Compared], store: Store) -> bytes:
    """The document, made entry by entry: all of them as JSON values at once would take twice the memory."""
    digest, texts = _Digest(), []
    for each in files:
        if not each.problem:
            entry = _to_json(each)
            digest.add(entry)
            texts.append(json_text(entry, indent=1).replace("\n", "\n  "))
    top = {
        "format": FORMAT,
        "version": VERSION,
        "made": utc_now(),
        "store": os.fsencode(store.layout.folder).decode("utf-8", "backslashreplace"),
        "digest": digest.text(),
        "files": [],
    }
    beginning = json_text(top, indent=1).removesuffix("]\n}")
    listed = ",\n  ".join(texts)
    return f"{beginning}\n  {listed}\n ]\n}}\n".encode("utf-8", "backslashreplace")


def _to_json(each: Compared) -> dict[str, Any]:
    size, mtime_ns = each.size_and_time
    changes, parts = each.changes, {"before": each.before, "kept": each.changes.kept, "doubts": each.changes.doubts}
    return {
        **json_path(each.path),
        "size": size,
        "mtime_ns": str(mtime_ns),
        "fields": _lists(changes.fields),
        **{name: _lists(values) for name, values in parts.items() if values},
    }


def _lists(fields: Fields) -> dict[str, list[str]]:
    return {name: list(values) for name, values in fields.items()}


class _Digest:
    """Of the entries as JSON values: it tells whether a person edited them."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, entry: Any) -> None:
        self._sha.update(json.dumps(entry, sort_keys=True).encode() + b"\n")

    def text(self) -> str:
        return self._sha.hexdigest()


def require_replaceable(path: bytes) -> None:
    """Raises InputError if there is something other than a document as `write_names` wrote it, or if its folder does
    not exist."""
    found = f"is not {_WHAT}, so it is not replaced"
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                if f'"{FORMAT}"'.encode() in file.read(_BEGINNING):
                    file.seek(0)
                    if not _is_edited(file.read()):
                        return
                    found = "was edited, so it is not replaced"
    except FileNotFoundError:
        if os.path.isdir(os.path.dirname(os.path.abspath(path))):
            return
        raise InputError(printable(path), "its folder does not exist", remedy="Name another file") from None
    except OSError as error:
        raise InputError(printable(path), error.strerror or str(error), remedy="Name another file") from error
    raise InputError(printable(path), found, remedy="Name another file")


def _is_edited(data: bytes) -> bool:
    document = parsed(data, [], _WHAT)
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, list):
        return True
    digest = _Digest()
    for entry in files:
        digest.add(entry)
    return bool(document.get("digest") != digest.text())


# ---- reading ----


def read_names(path: bytes) -> list[Listed]:
    """The entries of a document that have something to write. Raises InputError for a file that cannot be read,
    PlanError with all that is wrong."""
    try:
        data = Path(os.fsdecode(path)).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(printable(path), reason, remedy="`reprise tag --names -o FILE` writes one") from error
    problems: list[str] = []
    document = parsed(data, problems, _WHAT)
    found = [] if problems else list(_entries(document, problems))
    twice = [each for each, n in Counter(listed.path for listed in found).items() if n > 1]
    problems += [f"{printable(each)}: is listed twice; leave one" for each in twice]
    if problems:
        raise PlanError(printable(path), problems)
    return [listed for listed in found if listed.fields]


def _entries(document: Any, problems: list[str]) -> Iterator[Listed]:
    top = validate.Fields(document, _WHAT, problems)
    told = top.take("format"), top.take("version")
    if not top.is_object or told != (FORMAT, VERSION) or told[1] is True:
        problems[:] = [f"is not {_WHAT} of this release; write one with `reprise tag --names -o FILE`"]
        return
    top.text("made", "")
    top.text("store", "")
    top.text("digest", "")
    for number, entry in enumerate(top.list("files"), start=1):
        yield _entry(validate.Fields(entry, f"file {number}", problems))
    top.end()


def _entry(entry: validate.Fields) -> Listed:
    path = entry.path("path")
    if path:
        entry.where = printable(path)
    size = entry.value("size", lambda value: type(value) is int and value >= 0, "a number of bytes", 0)
    mtime_ns, fields = entry.time("mtime_ns"), entry.take("fields")
    for name in ("before", "kept", "doubts"):  # for people
        entry.take(name)
    entry.end()
    return Listed(path, (size, mtime_ns), dict(_values(fields, entry)))


def _values(found: Any, entry: validate.Fields) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not isinstance(found, dict):
        entry.say("fields is not an object; write one with the values of each field")
        return
    for name, values in found.items():
        clean = normalised({name: values}) if validate.are_texts(values) and name in ALL else {}
        if name not in ALL:
            entry.say(f"{name!r} is not one of the fields {', '.join(ALL)}; take it out")
        elif PAIRS.get(name) in clean:
            entry.say(f"{name} holds a number and a total; write the total into {PAIRS[name]}")
        elif clean.keys() != {name}:
            entry.say(f"{name} holds no value that can be written; write a list of texts, or take the field out")
        else:
            yield name, clean[name]


def listed_names(
    *, store: Store, listed: Sequence[Listed], keep: KeepSettings, observer: Observer, stop: Stop
) -> list[Compared]:
    """What is to be written of a document, until a stop: what its entries say and the files do not say yet, so that a
    list that was carried out in part goes on from there. A file that is not in the library, or has changed since, is
    told with the problem, as is one in a folder that `keep` or the store protects."""
    observer.stage("compare tags", len(listed), "files")
    protection = Protection(protected(store, keep.protect))
    found = []
    for each in listed:
        if stop.requested:
            break
        compared_one = _of_listed(store, each, protection)
        found += [compared_one] if compared_one is not None else []
        observer.advance()
    return found


def _of_listed(store: Store, listed: Listed, protection: Protection) -> Compared | None:
    track = store.catalog.tracks.get(listed.path)
    if track is None or track.state != "present":
        return Compared(listed.path, Changes(), {}, problem="no file of the library is there; scan its folder")

    def changes(has: Fields) -> Changes:
        return Changes({name: values for name, values in listed.fields.items() if has.get(name) != values})

    found = compared(track, changes, protection)
    is_old = listed.size_and_time != (track.size, track.mtime_ns)
    if found is None or found.problem or not is_old:
        return found
    return Compared(listed.path, Changes(), {}, problem="it has changed since the list was written")
