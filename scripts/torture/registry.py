"""How attacks come by their names, in each script that tries a list of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Attack = TypeVar("_Attack")


def registering(attacks: dict[str, _Attack]) -> Callable[[str], Callable[[_Attack], _Attack]]:
    """A decorator that enters a function in `attacks` by the name it is given."""

    def named(name: str) -> Callable[[_Attack], _Attack]:
        def register(attack: _Attack) -> _Attack:
            attacks[name] = attack
            return attack

        return register

    return named
