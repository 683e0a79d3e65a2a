"""A scheduler serves one run at a time: the plugin that a run puts on it, removed when the launcher is gone.

Importing this module imports Dask. This code runs in the scheduler's process."""

from __future__ import annotations

from typing import Any

from distributed import SchedulerPlugin

ADMISSION = "reprise-admission"
"""Name of the plugin that holds workers to the terms of a run (`preflight.Admission`)."""
_NAME = "reprise-run"


class Tenancy(SchedulerPlugin):  # type: ignore[misc]
    """Reserves the scheduler for a run as long as its client is connected. Makes it give back a task of this run when
    its worker dies, as `local.CONFIG` does; other users of that scheduler keep its own setting."""

    name = _NAME

    def __init__(self, client: str, who: str) -> None:
        self.client, self.who = client, who

    def update_graph(self, scheduler: Any, *, client: str, tasks: Any, **more: Any) -> None:
        del more
        for key in tasks if client == self.client else ():
            if key in scheduler.tasks:
                state = scheduler.tasks[key]
                state.suspicious = max(state.suspicious, scheduler.allowed_failures)

    def remove_client(self, scheduler: Any, client: str) -> None:
        if client == self.client:
            scheduler.remove_plugin(_NAME)
            if ADMISSION in scheduler.worker_plugins:  # no terms for workers that join from now on
                scheduler._ongoing_background_tasks.call_soon(scheduler.unregister_worker_plugin, None, ADMISSION)


async def claim(client: str, who: str, dask_scheduler: Any) -> str | None:
    """Reserves the scheduler for `client`'s run; returns its holder if it is taken."""
    holder = dask_scheduler.plugins.get(_NAME)
    if holder is not None and holder.client != client and holder.client in dask_scheduler.clients:
        return str(holder.who)
    if holder is not None:
        dask_scheduler.remove_plugin(_NAME)
    if ADMISSION in dask_scheduler.worker_plugins:
        await dask_scheduler.unregister_worker_plugin(None, ADMISSION)
    dask_scheduler.add_plugin(Tenancy(client, who))
    return None
