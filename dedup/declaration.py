"""How a setting is declared: as a field of a frozen dataclass, with what a user reads of it and may write into it."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from dedup.errors import UsageError


@dataclass(frozen=True)
class Option:
    """What a user reads of a field and may write into it. It annotates the field's type; the option of the command
    line, its checks, the variable, the key of the settings file and the documentation follow from both."""

    help: str
    metavar: str = ""
    low: float | None = None
    high: float | None = None
    above: bool = False
    """Whether `low` itself is too low."""
    none: str = ""
    """The word for None, such as "all"."""
    shown: str = ""
    """The default in words, for a value that says little."""
    name: str = ""
    """The name in `--name`; by default the field's own, without the unit `_s`."""
    form: Literal["", "time", "command", "hosts", "rules"] = ""
    """What a text has to be, if its type does not say it."""
    hidden: bool = False
    """Whether help and documentation leave it out."""
    secret: bool = False
    """Whether it is written into the settings file or a variable only, and never shown."""
    rare: bool = False
    """Whether a long list of options leaves it to `--help-all`."""

    def allows(self, number: float) -> bool:
        """Whether a number is in the range; nan never is in one."""
        is_low_enough = self.high is None or number <= self.high
        return is_low_enough and (self.low is None or (number > self.low if self.above else number >= self.low))

    def range_text(self, kind: type) -> str:
        """The range in words: "a number from 0 to 1"."""
        low, high = (None if bound is None else f"{bound:,}" for bound in (self.low, self.high))
        if self.above:
            span = f"greater than {low}" + (f" and at most {high}" if high else "")
        else:
            span = f"from {low} to {high}" if high else f"of at least {low}"
        return f"a {'whole ' if kind is int else ''}number {span}"


@dataclass(frozen=True)
class Setting:
    """A field with an option, and what its declaration comes to."""

    name: str
    """The spelling in `--max-lag` and `max-lag = 300`."""
    field: str
    kind: Any
    """The type of one value, None left out: int for `int | None`, bytes for `tuple[bytes, ...]`."""
    is_list: bool
    default: Any
    option: Option

    @property
    def choices(self) -> tuple[str, ...]:
        """The words of a Literal."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def default_text(self) -> str:
        """The default in words."""
        if self.option.shown or self.default is None:
            return self.option.shown or self.option.none or "none"
        return value_text(self.default)

    @property
    def hidden(self) -> bool:
        return self.option.hidden

    def check(self, value: Any) -> None:
        """Raises UsageError for a value that is out of range or not among the choices."""
        if value is None and (self.option.none or self.default is None):
            return
        unknown = [word for word in (value if self.is_list else (value,)) if word not in self.choices]
        if self.choices and unknown:
            raise refused(f"setting {self.name}", unknown[0], " or ".join(map(repr, self.choices)))
        if self.kind in (int, float) and not self.option.allows(value):
            expected = or_none(self.option.range_text(self.kind), self.option.none)
            raise refused(f"setting {self.name}", value, expected)


def value_text(value: Any) -> str:
    """A setting's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (frozenset, tuple)):
        return " ".join(sorted(value) if isinstance(value, frozenset) else value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def or_none(expected: str, none: str) -> str:
    """What is expected, and the word for None if there is one."""
    return f"{expected}, or {none!r}" if none else expected


def refused(where: str, value: object, expected: str, why: str = "") -> UsageError:
    """The error for a value that cannot be: what was found, and what to write."""
    return UsageError(where, f"found {value!r}{why}", remedy=f"Write {expected}")


def settings_of(owner: type[Any]) -> tuple[Setting, ...]:
    """The settings that a class declares, in their order."""
    if owner not in _DECLARED:
        hints = get_type_hints(owner, include_extras=True)
        declared = ((field, hints[field.name]) for field in fields(owner))
        _DECLARED[owner] = tuple(_setting(field, hint) for field, hint in declared if get_origin(hint) is Annotated)
    return _DECLARED[owner]


_DECLARED: dict[type, tuple[Setting, ...]] = {}


def _setting(field: Field[Any], hint: Any) -> Setting:
    kind, option = hint.__origin__, hint.__metadata__[0]
    if NoneType in get_args(kind):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    is_list = get_origin(kind) is tuple
    name = option.name or field.name.removesuffix("_s").replace("_", "-")
    return Setting(name, field.name, get_args(kind)[0] if is_list else kind, is_list, field.default, option)


class Settings:
    """A frozen dataclass of settings: a value that an option does not allow is refused with a UsageError."""

    def __post_init__(self) -> None:
        for setting in settings_of(type(self)):
            setting.check(getattr(self, setting.field))
