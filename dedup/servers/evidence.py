"""Asks all servers at once, and keeps what they said beside the store, so that reports and reviews can show it and
whoever makes a plan knows it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dedup.errors import StoreDamagedError, writing
from dedup.servers.attention import NOBODY, Heard, Listeners, of_record, to_record
from dedup.store.layout import Layout, private_opener
from dedup.store.ledgers import digest_of, opened_line, sealed_line

if TYPE_CHECKING:
    from dedup.servers.link import Link

_REMEDY = "Remove it: the next plan asks the servers again"


def ask_all(links: Iterable[Link]) -> Listeners:
    """What all servers say, each asked by a thread of its own: one that does not answer holds up no other."""
    from concurrent.futures import ThreadPoolExecutor

    asked = list(links)
    if not asked:
        return NOBODY
    with ThreadPoolExecutor(max_workers=len(asked)) as threads:
        return Listeners(tuple(threads.map(_heard_by, asked)))


def _heard_by(link: Link) -> Heard:
    settings = link.settings
    return replace(link.hear(), kind=settings.kind, url=settings.url, user=settings.user)


def keep(layout: Layout, listeners: Listeners) -> None:
    """Keeps what was heard, in place of what was kept before. Raises WriteError."""
    path, part = layout.listeners, layout.listeners.with_name(f"{layout.listeners.name}.{os.getpid()}.part")
    with writing(str(path)):
        if not listeners.servers:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        with open(part, "wb", opener=private_opener) as file:
            file.write(sealed_line({"servers": [_record(heard) for heard in listeners.servers]}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)


def kept(layout: Layout) -> Listeners:
    """What was heard last; nothing if no server was asked. Raises StoreDamagedError if that cannot be read, as a plan
    must not be made without it."""
    try:
        data = layout.listeners.read_bytes()
    except FileNotFoundError:
        return NOBODY
    try:
        said = opened_line(data)
        if not said.is_sealed:
            raise ValueError("has no digest")
        return Listeners(tuple(_heard(record) for record in said.record["servers"]), digest_of(data))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise StoreDamagedError(str(layout.listeners), f"cannot be read ({error})", remedy=_REMEDY) from error


def problem(layout: Layout) -> str:
    """Why what was heard last cannot be read; empty if it can."""
    try:
        kept(layout)
    except StoreDamagedError as error:
        return error.found
    return ""


def digest(layout: Layout) -> str:
    """A digest of what was heard last; empty if no server was asked."""
    try:
        return digest_of(layout.listeners.read_bytes())
    except FileNotFoundError:
        return ""


def _record(heard: Heard) -> dict[str, Any]:
    return {
        "server": heard.server,
        "kind": heard.kind,
        "url": heard.url,
        "user": heard.user,
        "folders": [os.fsdecode(folder) for folder in heard.folders],
        "moves_plays": heard.moves_plays,
        "problem": heard.problem,
        "nowhere": heard.n_nowhere,
        "attention": {os.fsdecode(path): to_record(said) for path, said in sorted(heard.attention.items())},
    }


def _heard(record: dict[str, Any]) -> Heard:
    return Heard(
        str(record["server"]),
        tuple(map(os.fsencode, record["folders"])),
        bool(record["moves_plays"]),
        str(record["problem"]),
        {os.fsencode(path): of_record(said) for path, said in record["attention"].items()},
        kind=str(record.get("kind", "")),
        url=str(record.get("url", "")),
        user=str(record.get("user", "")),
        n_nowhere=int(record.get("nowhere", 0)),
    )
