"""Every option that more than one command has, and every setting, declared once.

A setting's option records what was given on the command line and passes nothing to the command:
`jobs.session.run.session` resolves the settings (command line > environment > profile > file > default) and hands the
command a `Run`. So an option may stand before or after the command's name, and the later one wins."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from cluster.place import WORKER_TIMEOUT_S
from dedup.settings import (
    COPY_ACTIONS,
    IDENTITIES,
    METHODS,
    CompareSettings,
    DiscoverSettings,
    FingerprintSettings,
    KeepSettings,
    MatchSettings,
    PlanSettings,
    ScanSettings,
)
from jobs.session.values import (
    CommandLine,
    Companions,
    Extensions,
    Hosts,
    KeepRules,
    Number,
    OtherPath,
    Place,
    Switch,
    TimeOfDay,
    Value,
    Whole,
    Word,
)

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]

MAX_WORKERS = 1024
BLOCK_SIZE = 512
"""Fingerprints a block holds at most."""
_GIVEN = "jobs.session.options.given"


@dataclass(frozen=True)
class Setting:
    """One value that a command line, a variable, a profile and the settings file can set."""

    name: str
    """As in `--max-lag` and `max-lag = 300`."""
    type: Value
    default: Any
    help: str
    metavar: str = ""
    many: bool = False
    """Whether it is a list: a TOML array, a variable split at `separator`, a repeated option."""
    separator: str = os.pathsep
    default_text: str | None = None
    """How the default is told where its value says little."""
    hidden: bool = False

    @property
    def variable(self) -> str:
        return "REPRISE_" + self.name.upper().replace("-", "_")


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("roots", Place(), (), "Folders of the library.", "ROOT", many=True, default_text="none"),
        Setting(
            "store",
            Place(),
            None,
            "Folder that keeps fingerprints and results.",
            "PATH",
            default_text="user data",
        ),
        Setting(
            "profile",
            Word(),
            None,
            "Profile: strict, basic, aggressive, or one of the settings file.",
            "NAME",
            default_text="none",
        ),
        Setting(
            "workers",
            Whole(0, MAX_WORKERS, word="all"),
            None,
            "Processes that work at the same time; 0 works in this process, 'all' uses every core.",
            "N",
            default_text="all",
        ),
        Setting(
            "scheduler",
            Word(),
            None,
            "Work on a Dask scheduler that runs: its address, or the file that it wrote.",
            "ADDRESS|FILE",
            default_text="none",
        ),
        Setting(
            "hosts",
            Hosts(),
            (),
            "Work on these hosts, on which workers are started over SSH; with commas between.",
            "LIST",
            default_text="this one",
        ),
        Setting(
            "remote-python",
            Word(),
            None,
            "Python with Reprise on each of --hosts.",
            "PATH",
            default_text="as here",
        ),
        Setting(
            "tls",
            Place(),
            None,
            "Folder of this host's TLS keys, as `reprise cluster keys` makes them.",
            "DIR",
            default_text="Dask's settings",
        ),
        Setting(
            "map",
            OtherPath(),
            (),
            "Other hosts have the folder LOCAL_PATH at HOST_PATH; HOST: before it says it of one. Repeatable.",
            "HOST_PATH=LOCAL_PATH",
            many=True,
            separator=";",
            default_text="same paths",
        ),
        Setting(
            "reads-per-disk",
            Whole(1, MAX_WORKERS, word="auto"),
            None,
            "Files read from one disk at the same time; 'auto' is 1 where it rotates, else no limit.",
            "N",
            default_text="auto",
        ),
        Setting(
            "worker-timeout",
            Number(10),
            WORKER_TIMEOUT_S,
            "A worker that gives no sign of life for so long is ended and started anew.",
            "SECONDS",
        ),
        Setting(
            "until",
            TimeOfDay(),
            None,
            "Stop at this local time; the next run goes on.",
            "HH:MM",
            default_text="off",
        ),
        Setting(
            "max-hours",
            Number(0, above=True, word="off"),
            None,
            "Stop after so many hours; the next run goes on.",
            "HOURS",
            default_text="off",
        ),
        Setting(
            "notify",
            CommandLine(),
            None,
            "Command that gets a run's summary, as JSON on its stdin, when the run is over.",
            "COMMAND",
            default_text="off",
        ),
        Setting(
            "notify-when",
            Word("always", "new", "failed"),
            "always",
            "Notify of every run, of what was found or failed, or of failures alone.",
            "WHEN",
        ),
        Setting(
            "extensions",
            Extensions(),
            DiscoverSettings.extensions,
            "File name extensions to look at, with commas between.",
            "LIST",
            default_text="all audio and video",
        ),
        Setting(
            "include",
            Word(),
            DiscoverSettings.include,
            "Look only at files that match this glob on the path below the root. Repeatable.",
            "GLOB",
            many=True,
            default_text="everything",
        ),
        Setting(
            "exclude",
            Word(),
            DiscoverSettings.exclude,
            "Leave out files and folders that match this glob; wins over --include. Repeatable.",
            "GLOB",
            many=True,
            default_text="nothing",
        ),
        Setting(
            "max-depth",
            Whole(0, word="unlimited"),
            DiscoverSettings.max_depth,
            "Folders to go down below a root; 0 is the root's own files.",
            "N",
            default_text="unlimited",
        ),
        Setting("hidden", Switch(), DiscoverSettings.hidden, "Look at names that begin with a dot."),
        Setting(
            "min-length",
            Number(1),
            ScanSettings.min_length_s,
            "Skip tracks with less audio than this.",
            "SECONDS",
        ),
        Setting(
            "time-limit",
            Number(0, above=True),
            ScanSettings.time_limit_s,
            "Time that one file may take to decode.",
            "SECONDS",
        ),
        Setting(
            "length",
            Number(0),
            FingerprintSettings.length_s,
            "Fingerprint only this much from the start of each track; 0 is the whole track.",
            "SECONDS",
        ),
        Setting(
            "retry-failed",
            Switch(),
            ScanSettings.retry_failed,
            "Try unchanged files again that failed or were skipped before.",
        ),
        Setting("block-size", Whole(1, 4096), BLOCK_SIZE, "Fingerprints a block holds at most.", "N", hidden=True),
        Setting("method", Word(*METHODS), CompareSettings.method, "How two fingerprints are compared.", "METHOD"),
        Setting(
            "max-lag",
            Whole(0, 1_000_000, word="all"),
            CompareSettings.max_lag,
            "Largest shift that is tried, or 'all'; 8.08 items are a second.",
            "ITEMS",
            default_text="all",
        ),
        Setting(
            "min-overlap",
            Number(0, 1, above=True),
            CompareSettings.min_overlap,
            "Share of the shorter fingerprint that must overlap.",
            "SHARE",
        ),
        Setting(
            "min-overlap-items",
            Whole(1),
            CompareSettings.min_overlap_items,
            "Items that must overlap whatever the share.",
            "ITEMS",
        ),
        Setting(
            "max-false",
            Number(0, above=True),
            MatchSettings.max_false,
            "Pairs of unrelated tracks that may be taken for related, in the whole library.",
            "PAIRS",
        ),
        Setting(
            "min-score",
            Number(0, 1, word="judged"),
            MatchSettings.min_score,
            "Score from which two tracks are one recording, or 'judged': as you approved before.",
            "SCORE",
        ),
        Setting(
            "min-prominence",
            Number(0, 0.5),
            MatchSettings.min_prominence,
            "How far the best lag must stand above the others.",
            "SHARE",
        ),
        Setting(
            "classic",
            Number(0, 1, word="off"),
            MatchSettings.classic,
            "Decide by raw agreement alone, from this on, as older programs do (0.58); the report says what it costs.",
            "SHARE",
            default_text="off",
        ),
        Setting(
            "keep",
            KeepRules(),
            KeepSettings.rules,
            "What makes one copy better than another, in this order, with commas between; `best` is a whole list.",
            "RULES",
            default_text="best",
        ),
        Setting(
            "prefer",
            Place(),
            KeepSettings.prefer,
            "Keep the copy below this folder; of several the first counts most. Repeatable.",
            "DIR",
            many=True,
            default_text="none",
        ),
        Setting(
            "protect",
            Place(),
            KeepSettings.protect,
            "Touch nothing below this folder, and keep its copy; a plan remembers it. Repeatable.",
            "DIR",
            many=True,
            default_text="none",
        ),
        Setting(
            "identity",
            Word(*IDENTITIES),
            KeepSettings.identity,
            "Keep a recording once, or once for each album, disc and track number.",
            "WHAT",
        ),
        Setting(
            "companion",
            Companions(),
            KeepSettings.companions,
            "These two folders hold the same music on purpose, such as FLAC and MP3. Repeatable.",
            "DIR1:DIR2",
            many=True,
            separator=";",
            default_text="none",
        ),
        Setting(
            "action",
            Word(*COPY_ACTIONS),
            PlanSettings.action,
            "What becomes of the copies that are not kept.",
            "ACTION",
        ),
        Setting(
            "to",
            Place(),
            PlanSettings.to,
            "Folder that quarantined files go to.",
            "DIR",
            default_text=".reprise-quarantine in each root",
        ),
        Setting(
            "playlists",
            Place(),
            PlanSettings.playlists,
            "Folder with playlists that may refer to files that go. Repeatable.",
            "DIR",
            many=True,
            default_text="the library's",
        ),
        Setting("merge", Switch(), PlanSettings.merge, "Give the kept file the tags and the cover that others have."),
        Setting("break-albums", Switch(), PlanSettings.break_albums, "Let files go that a complete album needs."),
        Setting(
            "remove-empty-folders",
            Switch(),
            PlanSettings.remove_empty_folders,
            "Let folders go in which nothing is left.",
        ),
        Setting(
            "auto",
            Number(0, 1, word="all"),
            PlanSettings.auto,
            "Score from which on a copy goes; one with less is left to you.",
            "SCORE",
            default_text="all",
        ),
        Setting(
            "ask",
            Number(0, 1, word="all"),
            PlanSettings.ask,
            "Score from which on a copy is left to you; one with less is only told of.",
            "SCORE",
            default_text="all",
        ),
    )
}


def given(context: click.Context) -> dict[str, Any]:
    """What this command line set, by name; filled while click parses."""
    values: dict[str, Any] = context.meta.setdefault(_GIVEN, {})
    return values


def _record(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = str(parameter.name).replace("_", "-")
    if context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE:
        given(context)[name] = value


def _option(name: str, hidden: bool = False) -> Decorator[Any]:
    setting = SETTINGS[name]
    switch = isinstance(setting.type, Switch)
    return click.option(
        f"--{name}/--no-{name}" if switch else f"--{name}",
        type=None if switch else setting.type,
        default=None if setting.many else setting.default,
        multiple=setting.many,
        metavar=setting.metavar or None,
        help=setting.help,
        show_default=setting.default_text or True,
        hidden=hidden or setting.hidden,
        expose_value=False,
        callback=_record,
    )


def _flag(*names: str, text: str) -> Decorator[Any]:
    return click.option(*names, is_flag=True, expose_value=False, callback=_record, help=text)


def together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """One decorator for several, in the order in which `--help` shows them."""

    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


store = _option("store")
profile = _option("profile")
json = _flag("--json", text="One JSON object a line on stdout; text for people goes to stderr.")
quiet = _flag("-q", "--quiet", text="No progress, and of a summary only failures.")
verbose = _flag("-v", "--verbose", text="Tell each problem when it occurs.")
common = together(store, profile, json, quiet, verbose)

remote = together(*map(_option, ("scheduler", "hosts", "remote-python", "tls", "map")))
worker_processes = _option("workers")
workers = together(worker_processes, remote, *map(_option, ("reads-per-disk", "worker-timeout")))
tls = _option("tls")
deadline = together(*map(_option, ("until", "max-hours")))
notify = together(*map(_option, ("notify", "notify-when")))
block_size = _option("block-size")
length = _option("length")
min_length = _option("min-length")
discover = together(*map(_option, ("extensions", "include", "exclude", "max-depth", "hidden")))
scan = together(discover, *map(_option, ("min-length", "time-limit", "length", "retry-failed")), block_size)
compare = together(*map(_option, ("method", "max-lag", "min-overlap", "min-overlap-items")))
match = together(*map(_option, ("max-false", "min-score", "min-prominence", "classic")))
protect = _option("protect")
keep = together(*map(_option, ("keep", "prefer", "protect", "identity", "companion")))
CLEANUP = ("action", "to", "playlists", "merge", "break-albums", "remove-empty-folders", "auto", "ask")
"""Settings that only a plan asks for."""
cleanup = together(*map(_option, CLEANUP))

_COMMON = ("roots", "store", "profile")
every = together(*(_option(name, hidden=True) for name in SETTINGS if name not in _COMMON))
"""All settings, unseen in the help: for `info --settings`, which shows what a run with them would use."""
nightly = together(*(_option(name, hidden=True) for name in SETTINGS if name not in (*_COMMON, *CLEANUP)))
"""The same but for those that the main job does not take: for `schedule`."""

roots = click.argument(
    "roots", metavar="[ROOT]...", nargs=-1, type=SETTINGS["roots"].type, expose_value=False, callback=_record
)
