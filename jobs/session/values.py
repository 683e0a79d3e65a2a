"""What a setting's text means: the same on a command line, in a variable and in the settings file."""

from __future__ import annotations

import datetime
import math
import os
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from dedup.declaration import Option, Setting, or_none, refused
from dedup.errors import UsageError
from dedup.files.host_paths import MappedFolder


@dataclass(frozen=True)
class Kind:
    """How one kind of value is written."""

    expected: str
    """What to write, in words."""
    read: Callable[[Any], Any]
    """Function from a text or a TOML value to its meaning. Raises ValueError or UsageError if it has none."""
    native: tuple[type, ...] = (str,)
    """TOML types in which it may be written."""
    meaning: Callable[[Any], Any] = lambda value: value
    """Function from the value to what a settings class holds."""
    separator: str = os.pathsep
    """Separator between several values in one variable."""


class Value(click.ParamType[Any]):
    """A kind as a click type, with a word for None."""

    name = "value"

    def __init__(self, kind: Kind, none: str = "", choices: tuple[str, ...] = (), many: bool = False) -> None:
        self.kind, self.none, self.choices = kind, none, choices
        self.many = many
        """Whether it is one value of a list: the option may be repeated."""
        self.expected = or_none(kind.expected, none)

    def understand(self, given: Any, where: str = "", typed: bool = False) -> Any:
        """The value that is meant. If `typed`, it comes from TOML and must have a native type. Raises UsageError."""
        if given is None or (self.none and given == self.none):
            return None
        is_odd_bool = isinstance(given, bool) and bool not in self.kind.native
        if typed and (is_odd_bool or not isinstance(given, self.kind.native)):
            raise refused(where, given, self.expected)
        try:
            return self.kind.read(given)
        except UsageError as error:
            raise refused(where, given, error.expected, f": {error.found}") from None
        except (ValueError, OverflowError):
            raise refused(where, given, self.expected) from None

    def meaning(self, value: Any) -> Any:
        """What a settings class holds for an understood value, or for a list of them."""
        if value is None:
            return None
        return tuple(map(self.kind.meaning, value)) if self.many else self.kind.meaning(value)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.understand(value)
        except UsageError as error:
            self.fail(f"{error.found}. {error.remedy}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del ctx, param
        if self.kind is FOLDER:
            return [CompletionItem(incomplete, type="dir")]
        return [CompletionItem(word) for word in self.choices if word.startswith(incomplete)]


def value_of(setting: Setting) -> Value:
    """How a setting is written, according to its declaration."""
    if setting.kind in (int, float):
        kind = number(setting.kind, setting.option)
    elif setting.choices:
        kind = (choices if setting.is_list else choice)(setting.choices)
    else:
        kind = KINDS[setting.option.form or setting.kind]
    return Value(kind, setting.option.none, setting.choices, many=setting.is_list and list not in kind.native)


# ---- the kinds ----


def number(kind: type[int] | type[float], option: Option) -> Kind:
    """A finite number in the range of an option."""

    def read(given: Any) -> float:
        found = kind(given)
        if not (math.isfinite(found) and option.allows(found)):
            raise ValueError
        return found

    return Kind(option.range_text(kind), read, (int,) if kind is int else (int, float))


def choice(words: tuple[str, ...]) -> Kind:
    return Kind(" or ".join(map(repr, words)), lambda given: words[words.index(given)])


def choices(words: tuple[str, ...]) -> Kind:
    """Several of these words, in a list or with commas between them."""

    def read(given: Any) -> tuple[str, ...]:
        return tuple(words[words.index(word)] for word in _words(given))

    return Kind(f"words out of {', '.join(words)}", read, (str, list))


def _like(pattern: str, then: Callable[[str], Any] = str) -> Callable[[Any], Any]:
    """A function that reads a text of the form `pattern` and applies `then` to it."""

    def read(given: Any) -> Any:
        if re.fullmatch(pattern, str(given), re.DOTALL) is None:
            raise ValueError
        return then(str(given))

    return read


def _time_of_day(given: str | datetime.time) -> str:
    text = given.strftime("%H:%M") if isinstance(given, datetime.time) else given
    return str(_like("([01]?[0-9]|2[0-3]):[0-5][0-9]")(text)).zfill(5)


def _command(given: str) -> str:
    """A command with its arguments, quoted as for a shell, but run without one."""
    if not shlex.split(given) or "\0" in given:
        raise ValueError
    return given


def _companions(given: str) -> Any:
    folders = (os.path.normpath(os.path.expanduser(folder)) for folder in given.split(":"))
    return _like(r"/[^:\0]*:/[^:\0]*")(":".join(folders))


def _mapped_folder(text: str) -> MappedFolder:
    host, *paths = re.findall(MAPPED_FOLDER, text, re.DOTALL)[0]
    there, here = (os.fsencode(os.path.normpath(path)) for path in paths)
    return MappedFolder(there, here, host or None)


def _words(given: str | Iterable[Any]) -> tuple[str, ...]:
    """The words of a list, or of one text with commas between them."""
    words = [part for part in given.split(",") if part] if isinstance(given, str) else list(given)
    if not all(isinstance(word, str) for word in words):
        raise ValueError
    return tuple(word.strip() for word in words)


def _extensions(given: str | Iterable[Any]) -> frozenset[str]:
    """Extensions in lower case, without their dots."""
    names = frozenset(_like("[^/]+")(word.lstrip(".").lower()) for word in _words(given))
    if not names:
        raise ValueError
    return names


def _hosts(given: str | Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(_like(r"[\w.:%@\[\]][\w.:%@\[\]-]*"), _words(given)))


def _keep_rules(given: str | Iterable[Any]) -> tuple[str, ...]:
    from dedup.groups.keep import rule_names

    names = _words(given)
    rule_names(names)  # raises for an unknown name
    return names


MAPPED_FOLDER = "(?:([^/=]+):)?(/[^=]*)=(/.*)"
ON, OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
SWITCH = Kind("true or false", lambda given: choice(ON + OFF).read(str(given).strip().lower()) in ON, (bool,))
TIME_OF_DAY = Kind("a time of day such as 06:30", _time_of_day, (str, datetime.time))
FOLDER = Kind(
    "the path of a folder",
    _like(r"[^\0]+", os.path.expanduser),
    meaning=lambda path: os.path.abspath(os.fsencode(path)),
)
KINDS: dict[Any, Kind] = {
    str: Kind("some text", _like(".+")),
    bool: SWITCH,
    bytes: FOLDER,
    "time": TIME_OF_DAY,
    "command": Kind("a command with quotes that close", _command),
    "hosts": Kind("hosts such as 'nas,tower,me@attic'", _hosts, (str, list)),
    "rules": Kind("the names of keep rules", _keep_rules, (str, list)),
    frozenset[str]: Kind("extensions such as 'mp3,flac'", _extensions, (str, list)),
    tuple[bytes, bytes]: Kind(
        "DIR1:DIR2, two absolute paths without a colon in them",
        _companions,
        meaning=lambda text: tuple(map(os.fsencode, text.split(":"))),
        separator=";",
    ),
    MappedFolder: Kind(
        "HOST_PATH=LOCAL_PATH or HOST:HOST_PATH=LOCAL_PATH, both paths absolute",
        _like(MAPPED_FOLDER),
        meaning=_mapped_folder,
        separator=";",
    ),
}
"""Kinds by the form of an option, or by the type of its field."""
