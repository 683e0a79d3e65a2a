"""The types of the settings: each converts the text of a command line or variable and a value of the settings
file alike, and says in words what it expects."""

from __future__ import annotations

import datetime
import math
import os
import re
import shlex
from collections.abc import Iterable
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem


class Value(click.ParamType[Any]):
    """A click type that knows its `expected` in words, and which TOML types it takes (`native`)."""

    name = "value"
    expected = "a value"
    native: tuple[type, ...] = (str,)

    def refuse(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> NoReturn:
        self.fail(f"found {value!r}; expected {self.expected}", param, ctx)

    def fits(self, value: object) -> bool:
        """Whether a TOML value has the right type; a bool is no number."""
        return isinstance(value, self.native) and (bool in self.native or not isinstance(value, bool))


class Whole(Value):
    """A whole number from `low` to `high`; `word`, where there is one, stands for None."""

    name = "whole number"

    def __init__(self, low: int, high: int | None = None, word: str | None = None) -> None:
        self.low, self.high, self.word = low, high, word
        self.native = (int,)
        span = f"{low:,} or more" if high is None else f"{low:,} to {high:,}"
        self.expected = f"a whole number, {span}" + (f", or {word!r}" if word else "")

    def fits(self, value: object) -> bool:
        return super().fits(value) or (self.word is not None and value == self.word)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or (self.word and value == self.word):
            return None
        try:
            number = int(value)
        except (ValueError, OverflowError):
            self.refuse(value, param, ctx)
        if number < self.low or (self.high is not None and number > self.high):
            self.refuse(value, param, ctx)
        return number


class Number(Value):
    """A finite number from `low` to `high`; `above` excludes `low` itself; `word`, where there is one, stands for
    None."""

    name = "number"
    native = (int, float)

    def __init__(self, low: float, high: float | None = None, above: bool = False, word: str | None = None) -> None:
        self.low, self.high, self.above, self.word = low, high, above, word
        start = f"more than {low:g}" if above else f"{low:g}"
        self.expected = f"a number, {start}" + (" or more" if not above and high is None else "")
        if high is not None:
            self.expected += f"{', at most' if above else ' to'} {high:g}"
        self.expected += f", or {word!r}" if word else ""

    def fits(self, value: object) -> bool:
        return super().fits(value) or (self.word is not None and value == self.word)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value is None or (self.word and value == self.word):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            self.refuse(value, param, ctx)
        too_low = number <= self.low if self.above else number < self.low
        if not math.isfinite(number) or too_low or (self.high is not None and number > self.high):
            self.refuse(value, param, ctx)
        return number


class TimeOfDay(Value):
    """A time of day as "HH:MM"; "off" stands for None. TOML's own times are taken too."""

    name = "time"
    expected = "a time of day such as 06:30, or 'off'"
    native = (str, datetime.time)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | None:
        if value is None or value == "off":
            return None
        if isinstance(value, datetime.time):
            return value.strftime("%H:%M")
        found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", value)
        if found is None:
            self.refuse(value, param, ctx)
        return f"{int(found[1]):02d}:{found[2]}"


class CommandLine(Value):
    """A command with its arguments, quoted as for a shell, that no shell will see; "off" stands for None."""

    name = "command"
    expected = "a command with quotes that close, or 'off'"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | None:
        if value is None or value == "off":
            return None
        try:
            words = shlex.split(value)
        except ValueError:
            words = []
        if not words or "\0" in value:
            self.refuse(value, param, ctx)
        return str(value)


class Switch(Value):
    """Yes or no."""

    name = "switch"
    expected = "true or false"
    native = (bool,)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
            self.refuse(value, param, ctx)
        return word in {"1", "true", "yes", "on"}


class Word(Value):
    """One of some words, or any text where none are named."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self.words = words
        self.expected = " or ".join(repr(word) for word in words) or "some text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value or (self.words and value not in self.words):
            self.refuse(value, param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del ctx, param
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


class Place(Value):
    """A path; `~` is the home folder. It need not exist."""

    name = "path"

    def __init__(self, kind: str = "dir") -> None:
        self.kind = kind
        self.expected = "a folder" if kind == "dir" else "a file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = os.fsdecode(value)
        if not text or "\0" in text:
            self.refuse(value, param, ctx)
        return os.path.expanduser(text)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del ctx, param
        return [CompletionItem(incomplete, type=self.kind)]


class Hosts(Value):
    """Names of hosts: a list, or one text with commas. Empty stands for none."""

    name = "hosts"
    expected = "hosts such as 'nas,tower,me@attic'"
    native = (str, list)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        given: Iterable[Any] = [part for part in value.split(",") if part] if isinstance(value, str) else value
        names = tuple(part.strip() if isinstance(part, str) else "" for part in given)
        if not all(re.fullmatch(r"[\w.:%@\[\]-]+", part) and part[0] != "-" for part in names):
            self.refuse(value, param, ctx)
        return names


class OtherPath(Value):
    """Where hosts have a folder that is elsewhere here: "THERE=HERE", or "HOST:THERE=HERE" for one host."""

    name = "mount"
    expected = "HOST_PATH=LOCAL_PATH or HOST:HOST_PATH=LOCAL_PATH, both paths absolute"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self.parts(value) is None:
            self.refuse(value, param, ctx)
        return str(value)

    @staticmethod
    def parts(value: Any) -> tuple[str | None, str, str] | None:
        """Host or None, path there, path here."""
        found = re.fullmatch(r"(?:([^/=]+):)?(/[^=]*)=(/.*)", value, re.DOTALL) if isinstance(value, str) else None
        return None if found is None else (found[1], os.path.normpath(found[2]), os.path.normpath(found[3]))


class KeepRules(Value):
    """Names of keep rules and presets: a list, or one text with commas."""

    name = "rules"
    native = (str, list)

    @property
    def expected(self) -> str:  # type: ignore[override]
        from dedup.groups.keep import EXPECTED

        return EXPECTED

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        from dedup.errors import UsageError
        from dedup.groups.keep import rule_names

        given: Iterable[Any] = value.split(",") if isinstance(value, str) else value
        names = tuple(part.strip() if isinstance(part, str) else "" for part in given)
        try:
            rule_names(names)
        except UsageError as error:
            self.fail(f"{error.found}; expected {error.expected}", param, ctx)
        return names


class Companions(Value):
    """Two folders that hold the same music on purpose: "DIR1:DIR2", both absolute; `~` is the home folder."""

    name = "folders"
    expected = "DIR1:DIR2, two absolute paths without a colon in them"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        parts = [os.path.expanduser(part) for part in value.split(":")] if isinstance(value, str) else []
        if len(parts) != 2 or not all(part.startswith("/") and "\0" not in part for part in parts):
            self.refuse(value, param, ctx)
        return ":".join(os.path.normpath(part) for part in parts)


class Extensions(Value):
    """File name extensions: a list, or one text with commas; dots and case do not matter."""

    name = "extensions"
    expected = "extensions such as 'mp3,flac'"
    native = (str, list)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        given: Iterable[Any] = value.split(",") if isinstance(value, str) else value
        names = [part.strip().lstrip(".").lower() if isinstance(part, str) else "" for part in given]
        if not names or not all(names) or any("/" in part for part in names):
            self.refuse(value, param, ctx)
        return frozenset(names)
