"""Asks media servers what listeners did, before something is planned or shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dedup.errors import StoreDamagedError, WriteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.store.layout import Layout
    from dedup.store.store import Store
    from jobs.session.run import Run

SOON_S = 600.0
"""Seconds for which a report takes what servers said before, so that it need not wait for them."""


def ask_servers(run: Run, within_s: float = 0.0) -> None:
    """Asks the media servers of the settings what listeners did, and keeps that beside the store, where what is planned
    next finds it; unless all of them said it in the last `within_s` seconds. Says which do not answer. Without
    servers, what was kept goes."""
    from dedup.store.layout import Layout

    layout = Layout(run.settings.store)
    if not run.settings.servers and not layout.listeners.exists():
        return
    if within_s and _is_known(run, layout, within_s):
        return
    from dedup.servers.evidence import ask_all, keep
    from dedup.servers.link import open_links

    links = open_links(run.settings.servers, lambda: library_paths(run), lambda: run.stop.requested)
    listeners = ask_all(links.values())
    for heard in listeners.servers:
        if heard.problem:
            stay = "no copy goes" if heard.folders == (b"/",) else "copies in the folders that it plays stay"
            run.observer.announce(f"server {heard.server} {heard.problem}; {stay}")
    try:
        keep(layout, listeners)
    except WriteError as error:
        run.observer.announce(f"what the media servers say cannot be kept, so what they said before counts: {error}")


def library_paths(run: Run) -> Sequence[bytes]:
    """Paths of the library's tracks; none if there is no store yet."""
    from dedup.store.layout import Layout
    from jobs.session import stores

    if not Layout(run.settings.store).catalog.exists():
        return ()
    with stores.for_reading(run) as store:
        return present_paths(store)


def present_paths(store: Store) -> list[bytes]:
    """Paths of the tracks whose files are there."""
    return [track.path for track in store.catalog.tracks.all() if track.state == "present"]


def _is_known(run: Run, layout: Layout, within_s: float) -> bool:
    """Whether all servers of the settings, and no others, answered less than `within_s` seconds ago."""
    from dedup.servers.asked import Asked, asked_of
    from dedup.servers.evidence import kept

    try:
        said = kept(layout)
        age_s = time.time() - layout.listeners.stat().st_mtime
    except (FileNotFoundError, StoreDamagedError):
        return False
    wanted = [Asked(each.name, each.kind, each.url, each.user, each.folders) for each in run.settings.servers]
    is_whole = list(asked_of(said)) == wanted and not any(each.problem for each in said.servers)
    return is_whole and 0 <= age_s < within_s
