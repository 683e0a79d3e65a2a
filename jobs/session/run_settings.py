"""The settings that belong to a run, not to a result: where it works, with whom, for how long and who hears of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from cluster.few import FEW
from cluster.place import WORKER_TIMEOUT_S, Place
from dedup.declaration import Option, Settings
from dedup.errors import UsageError
from dedup.files.host_paths import MappedFolder


@dataclass(frozen=True)
class RunSettings(Settings):
    """How a run is carried out."""

    roots: Annotated[tuple[bytes, ...], Option("Folders of the library.", "ROOT")] = ()
    store: Annotated[
        bytes | None, Option("Folder for fingerprints and results.", "PATH", shown="in the user's data folder")
    ] = None
    profile: Annotated[
        str | None, Option("Profile to use: strict, basic, aggressive, or one from the settings file.", "NAME")
    ] = None
    workers: Annotated[
        int | None,
        Option("Processes at work; 0 works in this process, 'all' uses every core.", "N", 0, 1024, none="all"),
    ] = None
    """Number of processes, on each host; 0 works in this process, None is one for each core."""
    scheduler: Annotated[
        str | None,
        Option("Use a running Dask scheduler: its address, or the file it wrote.", "ADDRESS|FILE", rare=True),
    ] = None
    hosts: Annotated[
        tuple[str, ...],
        Option("Start workers over SSH on these hosts, separated by commas.", "LIST", form="hosts", shown="this host"),
    ] = ()
    remote_python: Annotated[
        str | None, Option("Python that has Reprise, on each of --hosts.", "PATH", shown="same as here", rare=True)
    ] = None
    tls: Annotated[
        bytes | None,
        Option(
            "Folder with this host's TLS keys, made by `reprise cluster keys`.",
            "DIR",
            shown="Dask's settings",
            rare=True,
        ),
    ] = None
    insecure: Annotated[
        bool, Option("Use hosts without TLS: whoever reaches their ports can run programs as you.", rare=True)
    ] = False
    map: Annotated[
        tuple[MappedFolder, ...],
        Option(
            "Where other hosts mount a local folder; HOST: in front names one host.",
            "HOST_PATH=LOCAL_PATH",
            shown="same paths",
            rare=True,
        ),
    ] = ()
    worker_timeout_s: Annotated[
        float, Option("Replace a worker that gives no sign of life for this long.", "SECONDS", 10, rare=True)
    ] = WORKER_TIMEOUT_S
    until: Annotated[
        str | None, Option("Stop at this local time; the next run continues.", "HH:MM", form="time", none="off")
    ] = None
    max_hours: Annotated[
        float | None,
        Option("Stop after this many hours; the next run continues.", "HOURS", 0, above=True, none="off", rare=True),
    ] = None
    notify: Annotated[
        str | None,
        Option("Command to run at the end, with the summary as JSON on stdin.", "COMMAND", form="command", none="off"),
    ] = None
    notify_when: Annotated[
        Literal["always", "new", "failed"],
        Option("Notify of every run, of finds and failures, or of failures only.", rare=True),
    ] = "always"
    strict: Annotated[
        bool, Option("Count and list files that failed in an earlier run too, not only new ones: exit code 3.")
    ] = False
    few_tasks: Annotated[int, Option("Tasks of a run that start no cluster.", "N", 0, hidden=True)] = FEW
    block_size: Annotated[int, Option("Fingerprints in a block, at most.", "N", 1, 4096, hidden=True)] = 512

    @property
    def is_remote(self) -> bool:
        """Whether other hosts do the work."""
        return bool(self.scheduler or self.hosts)

    @property
    def keys(self) -> str | None:
        """Folder of this host's TLS keys, absolute."""
        return None if self.tls is None else os.fsdecode(self.tls)

    def place(self) -> Place:
        """Where other hosts work. Raises UsageError if two ways are given."""
        if self.scheduler and self.hosts:
            raise UsageError("settings scheduler and hosts", "both are given", remedy="Give only one of them")
        hosts, python = self.hosts, self.remote_python
        return Place(self.scheduler, hosts, self.keys, self.workers, python, self.worker_timeout_s, self.insecure)
