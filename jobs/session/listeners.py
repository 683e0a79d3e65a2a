"""Asks media servers what listeners did, before something is planned or shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dedup.errors import StoreDamagedError, WriteError

if TYPE_CHECKING:
    from dedup.store.layout import Layout
    from jobs.session.run import Run

SOON_S = 600.0
"""Seconds for which a report takes what servers said before, so that it need not wait for them."""


def ask_servers(run: Run, within_s: float = 0.0) -> None:
    """Asks the media servers of the settings what listeners did, and keeps that beside the store, where what is planned
    next finds it; unless all of them said it in the last `within_s` seconds. Says which do not answer. Without
    servers, what was kept goes."""
    from dedup.servers.evidence import ask_all, keep
    from dedup.servers.link import open_links
    from dedup.store.layout import Layout

    layout = Layout(run.settings.store)
    if not run.settings.servers and not layout.listeners.exists():
        return
    if within_s and _is_known(run, layout, within_s):
        return
    listeners = ask_all(open_links(run.settings.servers).values())
    for heard in listeners.servers:
        if heard.problem:
            text = f"server {heard.server} {heard.problem}; copies in the folders that it plays stay"
            run.observer.announce(text)
    try:
        keep(layout, listeners)
    except WriteError as error:
        run.observer.announce(f"what the media servers say cannot be kept, so what they said before counts: {error}")


def _is_known(run: Run, layout: Layout, within_s: float) -> bool:
    """Whether all servers of the settings, and no others, answered less than `within_s` seconds ago."""
    from dedup.servers.evidence import kept

    try:
        said = kept(layout).servers
        age_s = time.time() - layout.listeners.stat().st_mtime
    except (FileNotFoundError, StoreDamagedError):
        return False
    wanted = [(each.name, each.folders) for each in run.settings.servers]
    is_whole = [(each.server, each.folders) for each in said] == wanted and not any(each.problem for each in said)
    return is_whole and 0 <= age_s < within_s
