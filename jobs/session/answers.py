"""Answers that were given before: what a command that only reads printed, kept in the user's cache folder, so that the
same question about an unchanged store is answered at once. An answer names everything that it depends on: the program,
the settings, and the state of the catalog as it was read. Another user's or a damaged file answers nothing, and where
none can be written, none is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dedup import __version__
from dedup.store.cached import read_cached, write_cached

if TYPE_CHECKING:
    from jobs.session.output import Output
    from jobs.session.run import Run

MOST_BYTES = 1 << 20
"""Size of an answer that is kept: a screen or some; whoever reads more can wait for it."""
MOST_ANSWERS = 16
"""Answers that are kept, the last ones."""


class Question:
    """A question to the store of a run: all that its answer depends on, except the store."""

    def __init__(self, run: Run, *asked: object) -> None:
        output = run.output
        shown = (output.quiet, output.as_json, output.look)
        said = (program(), os.path.realpath(run.settings.store), *shown)
        self.name = hashlib.blake2b(repr((said, asked)).encode(), digest_size=16).hexdigest()

    @property
    def path(self) -> Path:
        """File of its answer."""
        import platformdirs

        return platformdirs.user_cache_path("reprise") / "answers" / self.name

    def answer(self, state: bytes) -> list[str | bytes] | None:
        """What `Output.recorded` gave when the catalog had this state (`Catalog.state`); None if that is not known."""
        data = read_cached(self.path)
        sealed = state + self.name.encode()
        if data[:16] != hashlib.blake2b(sealed + data[16:], digest_size=16).digest():
            return None
        return [text if kind == "text" else bytes.fromhex(text) for kind, text in json.loads(data[16:])]

    def keep(self, state: bytes, recorded: list[str | bytes]) -> None:
        """Keeps an answer that was given to this question when the catalog had this state."""
        if sum(map(len, recorded)) > MOST_BYTES:
            return
        pieces = [("bytes", piece.hex()) if isinstance(piece, bytes) else ("text", piece) for piece in recorded]
        data = json.dumps(pieces).encode()
        digest = hashlib.blake2b(state + self.name.encode() + data, digest_size=16).digest()
        write_cached(self.path, [digest, data], MOST_ANSWERS)

    @contextlib.contextmanager
    def answered(self, output: Output, state: bytes) -> Iterator[None]:
        """Keeps what is printed inside as the answer."""
        with output.recorded() as recorded:
            yield
        self.keep(state, recorded)


@cache
def program() -> str:
    """A digest of the sources, by name, size and time: what another program found is nothing."""
    digest = hashlib.blake2b(__version__.encode(), digest_size=16)
    root = Path(__file__).parents[2]
    for package in ("dedup", "jobs"):
        for folder, folders, names in os.walk(root / package):
            folders.sort()
            for name in sorted(names):
                if not name.endswith(".pyc"):
                    status = os.stat(os.path.join(folder, name))
                    digest.update(f"{folder}/{name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()
