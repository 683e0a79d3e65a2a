"""Settled settings: command line > environment > profile > file > default, each value with its source.

The file is TOML in the platform's configuration folder (`REPRISE_CONFIG` names another): settings by name,
profiles as `[profile.nas]`, and `default-profile = "nas"` to choose one (TOML cannot hold both a `profile`
table and a `profile` text); media servers as `[server.home]` (`jobs.session.servers`). Every name and value in the file
is checked, even in profiles that are not in use."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dedup import settings as domain
from dedup.declaration import Settings, refused, settings_of
from dedup.errors import LibraryError, UsageError
from dedup.servers.settings import ServerSettings
from jobs.session import servers
from jobs.session.options import SETTINGS, VALUES, variable
from jobs.session.values import FOLDER

Declared = TypeVar("Declared", bound=Settings)

DEFAULT_PROFILE = "default-profile"
PROFILES = "profile"

READY_MADE: Mapping[str, Mapping[str, Any]] = {
    "strict": {"max-false": 0.0001, "min-score": 0.6, "min-prominence": 0.08},
    "basic": {},
    "aggressive": {"max-false": 0.1, "min-score": None, "min-prominence": 0.0},
}
"""Profiles that need no settings file; a profile of the same name in the file adds to one."""


@dataclass(frozen=True)
class Settled:
    """A setting's value and its source."""

    value: Any
    source: str
    """"command line", "environment REPRISE_X", "profile NAME", "file", "default", "demo" or "store"."""


@dataclass(frozen=True)
class Configuration:
    """All settings of one run, in the order of `jobs.session.options.SETTINGS`."""

    file: str
    """Path of the settings file, whether it exists or not."""
    settled: Mapping[str, Settled]
    servers: tuple[ServerSettings, ...] = ()
    """Media servers, by name."""

    @property
    def has_file(self) -> bool:
        """Whether the settings file exists."""
        return os.path.exists(self.file)

    def __getitem__(self, name: str) -> Any:
        return self.settled[name].value

    def of(self, kind: type[Declared], **given: Any) -> Declared:
        """The settings that a class declares; `given` has its other fields."""
        found = {setting.field: VALUES[setting.name].meaning(self[setting.name]) for setting in settings_of(kind)}
        return kind(**given, **found)

    @property
    def store(self) -> Path:
        return Path(self["store"])

    def roots(self) -> tuple[bytes, ...]:
        """The library's folders, absolute; raises LibraryError if there is none. They need not exist."""
        roots: tuple[bytes, ...] = VALUES["roots"].meaning(self["roots"])
        if roots:
            return roots
        raise LibraryError(
            "library",
            "no folder is given and none is configured",
            remedy="Name one as an argument (reprise full ~/Music), "
            f'as roots = ["~/Music"] in {self.file}, or as REPRISE_ROOTS',
        )

    def discover(self) -> domain.DiscoverSettings:
        return self.of(domain.DiscoverSettings)

    def scan(self) -> domain.ScanSettings:
        return self.of(domain.ScanSettings, discover=self.discover())

    def compare(self) -> domain.CompareSettings:
        return self.of(domain.CompareSettings)

    def match(self) -> domain.MatchSettings:
        return self.of(domain.MatchSettings)

    def keep(self) -> domain.KeepSettings:
        return self.of(domain.KeepSettings)

    def cleanup(self) -> domain.PlanSettings:
        return self.of(domain.PlanSettings)

    def gate(self) -> domain.GateSettings:
        return self.of(domain.GateSettings)

    def inbox(self) -> domain.InboxSettings:
        return self.of(domain.InboxSettings)

    def lookup(self) -> domain.LookupSettings:
        return self.of(domain.LookupSettings)

    def organize(self) -> domain.OrganizeSettings:
        return self.of(domain.OrganizeSettings)

    def fingerprint(self) -> domain.FingerprintSettings:
        return self.of(domain.FingerprintSettings)


def settle(given: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Configuration:
    """Every setting's value; `given` has the converted values of the command line, by setting name."""
    file = _settings_file(environment)
    base, profiles, chosen, known = _read(file, required="REPRISE_CONFIG" in environment)
    levels: list[Mapping[str, Settled]] = [
        {name: Settled(value, "command line") for name, value in given.items() if name in SETTINGS},
        _from_environment(environment),
    ]
    levels.append({"profile": Settled(chosen or None, "file" if chosen else "default")})
    profile = _first(levels, "profile")
    if profile.value:
        levels += _profile(profile.value, profile.source, profiles, file)
    levels.append(base)
    levels.append({"store": Settled(_default_store(), "default")})
    levels.append({name: Settled(setting.default, "default") for name, setting in SETTINGS.items()})
    return Configuration(file, {name: _first(levels, name) for name in SETTINGS}, known)


def _first(levels: Iterable[Mapping[str, Settled]], name: str) -> Settled:
    return next(level[name] for level in levels if name in level)


def _default_store() -> str:
    import platformdirs

    return str(platformdirs.user_data_path("reprise") / "store")


def _settings_file(environment: Mapping[str, str]) -> str:
    if environment.get("REPRISE_CONFIG"):
        return os.path.abspath(os.path.expanduser(environment["REPRISE_CONFIG"]))
    import platformdirs

    return str(platformdirs.user_config_path("reprise") / "settings.toml")


def _profile(
    name: str, source: str, profiles: Mapping[str, dict[str, Settled]], file: str
) -> list[Mapping[str, Settled]]:
    """The values of a profile: those of the file, then those of the ready-made profile of that name."""
    known = [*READY_MADE, *profiles]
    if name not in known:
        remedy = f"{_nearest(name, known)}Name one of {', '.join(map(repr, known))}, or add [profile.{name}] to {file}"
        raise UsageError(f"profile ({source})", f"there is no profile {name!r}", remedy=remedy)
    ready_made = {key: Settled(value, f"profile {name}") for key, value in READY_MADE.get(name, {}).items()}
    return [profiles.get(name, {}), ready_made]


def _nearest(name: str, known: Iterable[str]) -> str:
    """A question that names the most similar spelling; empty if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}? " if near else ""


def _from_environment(environment: Mapping[str, str]) -> dict[str, Settled]:
    """Values of REPRISE_* variables; an empty one counts as unset. A name close to a setting's is a typo; other
    REPRISE_ names belong to other programs, such as the launcher."""
    names = {variable(name): name for name in SETTINGS}
    ends = [name.removeprefix("REPRISE_") for name in names]
    found: dict[str, Settled] = {}
    for key, text in environment.items():
        if not text or not key.startswith("REPRISE_") or key == "REPRISE_CONFIG":
            continue
        where = f"environment {key}"
        if key in names:
            value = VALUES[names[key]]
            given: Any = [part for part in text.split(value.kind.separator) if part] if value.many else text
            found[names[key]] = Settled(_understood(names[key], given, where), where)
        elif near := difflib.get_close_matches(key.removeprefix("REPRISE_"), ends, n=1, cutoff=0.8):
            raise UsageError(where, "there is no such setting", remedy=f"Did you mean REPRISE_{near[0]}?")
    return found


def _read(
    file: str, required: bool
) -> tuple[dict[str, Settled], dict[str, dict[str, Settled]], str | None, tuple[ServerSettings, ...]]:
    """The settings of the file itself, those of each profile, the name of the default profile, and the servers."""
    content = _load(file, required)
    chosen = content.pop(DEFAULT_PROFILE, None)
    if chosen is not None and not isinstance(chosen, str):
        raise refused(f"{file}, {DEFAULT_PROFILE}", chosen, "the name of a profile")
    profiles = content.pop(PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        expected = f"a table such as [profile.nas], or {DEFAULT_PROFILE} = … to choose one"
        raise refused(f"{file}, {PROFILES}", profiles, expected)
    tables = {name: _table(table, file, f"profile {name}") for name, table in profiles.items()}
    known = servers.understood(content.pop(servers.TABLE, {}), file, _nearest)
    return _table(content, file, "file"), tables, chosen, known


def _load(file: str, required: bool) -> dict[str, Any]:
    import tomllib

    try:
        with open(file, "rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        if not required:
            return {}
        remedy = "Make that settings file, or unset the variable"
        raise UsageError(f"environment REPRISE_CONFIG, {file}", "there is no such file", remedy=remedy) from None
    except OSError as error:
        raise UsageError(f"settings file {file}", f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"settings file {file}", f"is not valid TOML: {error}") from None


def _table(content: Mapping[str, Any], file: str, source: str) -> dict[str, Settled]:
    found: dict[str, Settled] = {}
    for key, value in content.items():
        name = key.replace("_", "-")
        where = f"{file}, {source}, {key}" if source != "file" else f"{file}, {key}"
        if name not in SETTINGS or name == "profile":
            known = [*SETTINGS, DEFAULT_PROFILE] if source == "file" else SETTINGS
            remedy = _nearest(name, known) or "Correct its name, or remove it"
            if source == "file" and isinstance(value, dict):
                remedy = f"Write [{PROFILES}.{key}] for a profile of that name"
            raise UsageError(f"setting {key} in {file}", "there is no such setting", remedy=remedy.strip())
        if name in found:
            raise UsageError(where, "is set twice, with - and with _", remedy="Keep one of them")
        found[name] = Settled(_understood(name, value, where, os.path.dirname(file)), source)
    return found


def _understood(name: str, given: Any, where: str, folder: str | None = None) -> Any:
    """A setting's value, or a list of values. With a `folder` it comes from TOML, and paths are relative to that."""
    value = VALUES[name]

    def one(part: Any) -> Any:
        found = value.understand(part, where, typed=folder is not None)
        is_path = folder is not None and value.kind is FOLDER
        return os.path.normpath(os.path.join(folder or "", found)) if is_path else found

    if not value.many:
        return one(given)
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list):
        raise refused(where, given, f"a list; for each of its values, {value.expected}")
    return tuple(map(one, parts))
