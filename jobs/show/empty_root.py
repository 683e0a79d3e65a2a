"""The question about a root that is suddenly empty."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from jobs.session.output import count_text, path_text

if TYPE_CHECKING:
    from dedup.scan.empty_roots import MayForget
    from jobs.session.run import Run


def may_forget(run: Run, allow_empty: bool) -> MayForget:
    """Who decides whether all that is known below a root may be forgotten: `--allow-empty`, or a person if one sits at
    a terminal."""

    def asked(root: bytes, n_files: int) -> bool:
        if allow_empty:
            return True
        if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
            return False
        from jobs.show.ask import is_agreed

        run.observer.pause()
        held = f"{path_text(root)} holds no audio file any more, and held {count_text(n_files, 'file')}."
        return is_agreed(f"{held} Forget them?")

    return asked
