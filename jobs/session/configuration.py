"""Settled settings: command line > environment > profile > file > default, each value with where it came
from.

The file is TOML in the platform's configuration folder (`REPRISE_CONFIG` names another): settings by name,
profiles as `[profile.nas]`, and `default-profile = "nas"` to choose one (TOML cannot hold both a `profile`
table and a `profile` text). Every name and value in the file is checked, those of profiles not in use too."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cluster.place import Place as ClusterPlace
from dedup.errors import LibraryError, UsageError
from dedup.files.host_paths import MappedFolder
from dedup.settings import (
    CompareSettings,
    DiscoverSettings,
    FingerprintSettings,
    KeepSettings,
    MatchSettings,
    PlanSettings,
    ScanSettings,
)
from jobs.session.options import SETTINGS, Setting
from jobs.session.values import OtherPath, Place

DEFAULT_PROFILE = "default-profile"
PROFILES = "profile"

READY_MADE: Mapping[str, Mapping[str, Any]] = {
    "strict": {"max-false": 0.0001, "min-score": 0.6, "min-prominence": 0.08},
    "basic": {},
    "aggressive": {"max-false": 0.1, "min-score": None, "min-prominence": 0.0},
}
"""Profiles that need no settings file; one of the file of that name is added to them."""


@dataclass(frozen=True)
class Settled:
    """A setting's value and where it came from."""

    value: Any
    source: str
    """"command line", "environment REPRISE_X", "profile NAME", "file" or "default"."""


@dataclass(frozen=True)
class Configuration:
    """All settings of one run, in the order of the table in `jobs.session.options`."""

    file: str
    """Path of the settings file, whether it exists or not."""
    settled: Mapping[str, Settled]

    def __getitem__(self, name: str) -> Any:
        return self.settled[name].value

    @property
    def store(self) -> Path:
        return Path(self["store"])

    @property
    def profile(self) -> str | None:
        name: str | None = self["profile"]
        return name

    @property
    def workers(self) -> int | None:
        """Processes; 0 works inline, None takes every core."""
        number: int | None = self["workers"]
        return number

    @property
    def is_remote(self) -> bool:
        """Whether the work is done by other hosts."""
        return bool(self["scheduler"] or self["hosts"])

    def place(self) -> ClusterPlace:
        """Where other hosts work. Raises UsageError where two ways are named."""
        if self["scheduler"] and self["hosts"]:
            raise UsageError("settings scheduler and hosts", "both are given", "one of them")
        return ClusterPlace(
            self["scheduler"],
            self["hosts"],
            self["tls"] and os.path.abspath(self["tls"]),
            self["workers"],
            self["remote-python"],
            self["worker-timeout"],
        )

    def mounts(self) -> tuple[MappedFolder, ...]:
        """Where other hosts have the folders of this one."""
        parts = filter(None, map(OtherPath.parts, self["map"]))
        return tuple(MappedFolder(os.fsencode(there), os.fsencode(here), host) for host, there, here in parts)

    @property
    def block_size(self) -> int:
        return int(self["block-size"])

    @property
    def length_s(self) -> float:
        """Seconds to fingerprint from the start of each track; 0 is the whole track."""
        return float(self["length"])

    def roots(self) -> tuple[bytes, ...]:
        """The library's folders, absolute; raises LibraryError when there is none. They need not exist."""
        if not self["roots"]:
            raise LibraryError(
                "library",
                "no folder is given and none is configured",
                remedy="Give one as an argument (reprise full ~/Music), "
                f'as roots = ["~/Music"] in {self.file}, or as REPRISE_ROOTS',
            )
        return tuple(os.path.abspath(os.fsencode(root)) for root in self["roots"])

    def discover(self) -> DiscoverSettings:
        names = ("extensions", "include", "exclude", "max-depth", "hidden")
        return DiscoverSettings(**{name.replace("-", "_"): self[name] for name in names})

    def scan(self) -> ScanSettings:
        return ScanSettings(
            discover=self.discover(),
            min_length_s=self["min-length"],
            time_limit_s=self["time-limit"],
            retry_failed=self["retry-failed"],
            reads_per_disk=self["reads-per-disk"],
        )

    def compare(self) -> CompareSettings:
        names = ("method", "max-lag", "min-overlap", "min-overlap-items")
        return CompareSettings(**{name.replace("-", "_"): self[name] for name in names})

    def match(self) -> MatchSettings:
        names = ("max-false", "min-score", "min-prominence", "classic")
        return MatchSettings(**{name.replace("-", "_"): self[name] for name in names})

    def keep(self) -> KeepSettings:
        companions = (text.split(":") for text in self["companion"])
        return KeepSettings(
            rules=self["keep"],
            prefer=_folders(self["prefer"]),
            protect=_folders(self["protect"]),
            identity=self["identity"],
            companions=tuple((os.fsencode(one), os.fsencode(other)) for one, other in companions),
        )

    def cleanup(self) -> PlanSettings:
        names = ("action", "merge", "break-albums", "remove-empty-folders", "auto", "ask")
        return PlanSettings(
            to=_folders([self["to"]])[0] if self["to"] else None,
            playlists=_folders(self["playlists"]),
            **{name.replace("-", "_"): self[name] for name in names},
        )

    def fingerprint(self, chromaprint: str) -> FingerprintSettings:
        return FingerprintSettings(chromaprint=chromaprint, length_s=self.length_s)


def _folders(paths: Iterable[str]) -> tuple[bytes, ...]:
    """Absolute."""
    return tuple(os.path.abspath(os.fsencode(path)) for path in paths)


def settle(given: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Configuration:
    """Every setting's value: `given` are the converted values of the command line, by setting name."""
    file = _settings_file(environment)
    base, profiles, chosen = _read(file, required="REPRISE_CONFIG" in environment)
    levels: list[Mapping[str, Settled]] = [
        {name: Settled(value, "command line") for name, value in given.items() if name in SETTINGS},
        _from_environment(environment),
    ]
    profile = _first(levels, "profile") or (Settled(chosen, "file") if chosen else None)
    if profile:
        levels += _profile(str(profile.value), profile.source, profiles, file)
        levels.append({"profile": profile})
    levels.append(base)
    found = {name: _first(levels, name) or _default(setting) for name, setting in SETTINGS.items()}
    return Configuration(file, found)


def _first(levels: Iterable[Mapping[str, Settled]], name: str) -> Settled | None:
    return next((level[name] for level in levels if name in level), None)


def _default(setting: Setting) -> Settled:
    if setting.name != "store":
        return Settled(setting.default, "default")
    import platformdirs

    return Settled(str(platformdirs.user_data_path("reprise") / "store"), "default")


def _settings_file(environment: Mapping[str, str]) -> str:
    if environment.get("REPRISE_CONFIG"):
        return os.path.abspath(os.path.expanduser(environment["REPRISE_CONFIG"]))
    import platformdirs

    return str(platformdirs.user_config_path("reprise") / "settings.toml")


def _profile(
    name: str, source: str, profiles: Mapping[str, dict[str, Settled]], file: str
) -> list[Mapping[str, Settled]]:
    """What the file says of a profile, then what is ready-made of that name."""
    if name not in profiles and name not in READY_MADE:
        expected = f"one of {', '.join(map(repr, [*READY_MADE, *profiles]))}, or [profile.{name}] in {file}"
        raise UsageError(f"profile ({source})", _unknown(name, [*READY_MADE, *profiles]), expected)
    ready_made = {key: Settled(value, f"profile {name}") for key, value in READY_MADE.get(name, {}).items()}
    return [profiles.get(name, {}), ready_made]


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"there is no {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _from_environment(environment: Mapping[str, str]) -> dict[str, Settled]:
    """Values of REPRISE_*; an empty one counts as unset. A name that is nearly a setting's is a typo; other
    REPRISE_ names belong to somebody else, the launcher for one."""
    variables = {setting.variable: setting for setting in SETTINGS.values()}
    found: dict[str, Settled] = {}
    for variable, text in environment.items():
        if not text or not variable.startswith("REPRISE_") or variable == "REPRISE_CONFIG":
            continue
        if variable in variables:
            setting = variables[variable]
            parts: Any = [part for part in text.split(setting.separator) if part] if setting.many else text
            where = f"environment {variable}"
            found[setting.name] = Settled(_convert(setting, parts, where), where)
            continue
        ends = [name.removeprefix("REPRISE_") for name in variables]
        near = difflib.get_close_matches(variable.removeprefix("REPRISE_"), ends, n=1, cutoff=0.8)
        if near:
            raise UsageError(
                f"environment {variable}",
                "there is no such setting",
                remedy=f"Did you mean REPRISE_{near[0]}?",
            )
    return found


def _read(file: str, required: bool) -> tuple[dict[str, Settled], dict[str, dict[str, Settled]], str | None]:
    """The settings of the file itself, those of each profile, and the name of the default profile."""
    content = _load(file, required)
    chosen = content.pop(DEFAULT_PROFILE, None)
    if chosen is not None and not isinstance(chosen, str):
        raise UsageError(f"{file}, {DEFAULT_PROFILE}", f"found {chosen!r}", "the name of a profile")
    profiles = content.pop(PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise UsageError(
            f"{file}, {PROFILES}",
            f"found {profiles!r}",
            "tables such as [profile.nas]",
            f"To choose a profile write {DEFAULT_PROFILE} = …",
        )
    tables = {name: _table(table, file, f"profile {name}") for name, table in profiles.items()}
    return _table(content, file, "file"), tables, chosen


def _load(file: str, required: bool) -> dict[str, Any]:
    import tomllib

    try:
        with open(file, "rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        if required:
            raise UsageError(f"environment REPRISE_CONFIG, {file}", "no such file", "a settings file") from None
        return {}
    except OSError as error:
        raise UsageError(f"settings file {file}", f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"settings file {file}", f"is no TOML: {error}") from None


def _table(content: Mapping[str, Any], file: str, source: str) -> dict[str, Settled]:
    found: dict[str, Settled] = {}
    for key, value in content.items():
        name = key.replace("_", "-")
        where = f"{file}, {source}, {key}" if source != "file" else f"{file}, {key}"
        if name not in SETTINGS or name == "profile":
            known = [*SETTINGS, DEFAULT_PROFILE] if source == "file" else SETTINGS
            raise UsageError(f"setting {key} in {file}", _unknown(name, known))
        if name in found:
            raise UsageError(where, "is set twice, with - and with _", "one of them")
        found[name] = Settled(_convert(SETTINGS[name], value, where, os.path.dirname(file)), source)
    return found


def _convert(setting: Setting, value: Any, where: str, folder: str | None = None) -> Any:
    """Through the option's own click type. `folder`: the value is TOML, typed, its paths are relative to
    there."""
    if not setting.many:
        return _convert_one(setting, value, where, folder)
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise UsageError(where, f"found {value!r}", f"a list; each {setting.type.expected}")
    return tuple(_convert_one(setting, part, where, folder) for part in parts)


def _convert_one(setting: Setting, value: Any, where: str, folder: str | None) -> Any:
    if folder is not None and not setting.type.fits(value):
        raise UsageError(where, f"found {value!r}", setting.type.expected)
    try:
        converted = setting.type.convert(value, None, None)
    except click.BadParameter:
        raise UsageError(where, f"found {value!r}", setting.type.expected) from None
    if folder is not None and isinstance(setting.type, Place):
        return os.path.normpath(os.path.join(folder, converted))
    return converted
