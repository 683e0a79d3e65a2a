"""Templates of paths, written as in beets: `$field`, `${field}`, `%function{argument,argument}`; `$$`, `$%`, `$,` and
`$}` stand for the second character. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dedup.errors import UsageError
from dedup.organize.functions import FUNCTIONS, Function

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPED = "$%,}"
_MOST_DEEP = 20
"""Calls within calls."""


class TemplateError(UsageError):
    """A template that cannot be read; says where."""


class LackingError(Exception):
    """A file lacks tags that its path needs; `names` are their fields."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        super().__init__(", ".join(self.names))


@dataclass(frozen=True)
class _Field:
    name: str


@dataclass(frozen=True)
class _Call:
    function: Function
    arguments: tuple[_Parts, ...]


_Part = str | _Field | _Call
_Parts = tuple[_Part, ...]


class Template:
    """A template that was read."""

    def __init__(self, text: str, known: Collection[str]) -> None:
        """`known`: names of fields. Raises TemplateError."""
        self.text = text
        self._parts = _Reader(text, known).whole()

    def path(self, fields: Mapping[str, str]) -> str:
        """The path below the root for a file with these fields, without its extension; those that it does not have are
        missing or empty. A slash in a value becomes "_". Raises LackingError."""
        filling = _Filling(fields)
        path = filling.text(self._parts, needs=True)
        if filling.lacking:
            raise LackingError(filling.lacking)
        return path


class _Filling:
    """A template as it is filled for one file."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields
        self.lacking: list[str] = []

    def text(self, parts: _Parts, needs: bool) -> str:
        """`needs`: whether a field without a value is one that the path lacks."""
        return "".join(self._part(part, needs) for part in parts)

    def _part(self, part: _Part, needs: bool) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, _Field):
            value = self.fields.get(part.name, "").replace("/", "_")
            if needs and not value:
                self.lacking.append(part.name)
            return value
        return self._called(part, needs)

    def _called(self, call: _Call, needs: bool) -> str:
        match call.function.name:
            case "if":
                return self._chosen(call, is_true(self.text(call.arguments[0], False)), needs)
            case "ifdef":
                (name,) = call.arguments[0]
                assert isinstance(name, str)
                value = self.fields.get(name.strip(), "").replace("/", "_")
                return value if value and len(call.arguments) == 1 else self._chosen(call, bool(value), needs)
            case "first":
                texts = [self.text(argument, False) for argument in call.arguments]
                found = call.function.of(texts)
                if needs and not found:
                    self.lacking += [part.name for part in call.arguments[0] if isinstance(part, _Field)]
                return found
            case _:
                return call.function.of([self.text(argument, needs) for argument in call.arguments])

    def _chosen(self, call: _Call, is_first: bool, needs: bool) -> str:
        _, *branches = call.arguments
        if is_first:
            return self.text(branches[0], needs)
        return self.text(branches[1], needs) if len(branches) > 1 else ""


def is_true(condition: str) -> bool:
    """Whether a condition holds: neither empty nor a zero nor "false"."""
    condition = condition.strip()
    if re.fullmatch(r"[+-]?\d+", condition, re.ASCII):
        return int(condition) != 0
    return condition.lower() not in ("", "false")


class _Reader:
    """Reads a template from its start to its end."""

    def __init__(self, text: str, known: Collection[str]) -> None:
        self._text, self._known, self._at = text, known, 0

    def whole(self) -> _Parts:
        if not self._text.strip():
            raise self._error("is empty", 0, "Write one such as '$albumartist/$album/$track - $title'")
        if self._text.startswith("/"):
            raise self._error("begins with a slash", 0, "Write the path below the library's folder")
        if self._text.rstrip().endswith("/"):
            raise self._error("ends with a slash", len(self._text) - 1, "Add a name for the file, such as $title")
        return self._parts("", 0)

    def _error(self, found: str, at: int, remedy: str = "") -> TemplateError:
        return TemplateError("template", f"{found}, at character {at + 1} of {self._text!r}", remedy=remedy)

    def _parts(self, ends: str, depth: int) -> _Parts:
        """The parts up to one of the characters `ends`, which is left, or up to the end."""
        parts: list[_Part] = []
        literal = ""
        while self._at < len(self._text) and self._text[self._at] not in ends:
            part = self._part(depth)
            if isinstance(part, str):
                literal += part
                continue
            parts += [literal, part] if literal else [part]
            literal = ""
        return (*parts, literal) if literal else tuple(parts)

    def _part(self, depth: int) -> _Part:
        character, following = self._text[self._at], self._text[self._at + 1 : self._at + 2]
        if character == "$" and following and following in _ESCAPED:
            self._at += 2
            return following
        if character == "$":
            return self._field()
        if character == "%" and (name := _NAME.match(self._text, self._at + 1)):
            opened = self._text[name.end() : name.end() + 1] == "{"
            if opened or name[0] in FUNCTIONS:
                return self._call(name[0], opened, name.end(), depth)
        self._at += 1
        return character

    def _field(self) -> _Field:
        at = self._at
        has_braces = self._text[at + 1 : at + 2] == "{"
        name = _NAME.match(self._text, at + 1 + has_braces)
        if name is None:
            raise self._error("has a $ without the name of a field", at, "Write $$ for the character itself")
        self._at = name.end()
        if has_braces:
            if self._text[self._at : self._at + 1] != "}":
                raise self._error("has a ${ without its }", at)
            self._at += 1
        self._require_field(name[0], at)
        return _Field(name[0])

    def _require_field(self, name: str, at: int) -> None:
        if name not in self._known:
            import difflib

            like = difflib.get_close_matches(name, self._known, 1)
            remedy = f"Did you mean ${like[0]}?" if like else "docs/organize.md lists the fields"
            raise self._error(f"names a field that there is not, ${name}", at, remedy)

    def _call(self, name: str, is_opened: bool, end: int, depth: int) -> _Call:
        at = self._at
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._error(f"calls %{name}, which there is not", at, f"There are {', '.join(sorted(FUNCTIONS))}")
        if not is_opened:
            raise self._error(f"calls %{name} without its braces", at, f"Write {function.form}")
        if depth >= _MOST_DEEP:
            raise self._error("has too many calls within calls", at)
        self._at = end + 1
        arguments = [self._parts(",}", depth + 1)]
        while self._text[self._at : self._at + 1] == ",":
            self._at += 1
            arguments.append(self._parts(",}", depth + 1))
        if self._at >= len(self._text):
            raise self._error(f"has a %{name}{{ without its }}", at)
        self._at += 1
        self._require_arguments(function, arguments, at)
        return _Call(function, tuple(arguments))

    def _require_arguments(self, function: Function, arguments: Sequence[_Parts], at: int) -> None:
        if not function.least <= len(arguments) <= function.most:
            raise self._error(f"gives %{function.name} {len(arguments)} arguments", at, f"Write {function.form}")
        for number in function.numbers:
            if number < len(arguments) and not _is_number(arguments[number]):
                raise self._error(f"gives %{function.name} no whole number", at, f"Write {function.form}")
        if function.name == "ifdef":
            text = arguments[0][0] if len(arguments[0]) == 1 else ""
            if not isinstance(text, str) or not text:
                raise self._error("gives %ifdef no name of a field", at, f"Write {function.form}")
            self._require_field(text.strip(), at)


def _is_number(parts: _Parts) -> bool:
    text = parts[0] if len(parts) == 1 else ""
    return isinstance(text, str) and re.fullmatch(r"\d{1,3}", text.strip(), re.ASCII) is not None
