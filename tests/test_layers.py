"""Imports go one way: jobs → cluster, dedup; cluster → dedup; inside dedup/ they follow the order of its rooms, and no
two modules import each other anywhere. All of it is read from the code, imports inside functions included."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent

FORBIDDEN = {
    "dedup": {"jobs", "cluster", "click", "rich", "dask", "distributed"},
    "cluster": {"jobs", "click", "rich"},
    "jobs": {"dask", "distributed", "numba", "zarr", "av"},
}

FLOORS = (
    (
        "__init__",
        "clock",
        "declaration",
        "errors",
        "nesting",
        "observer",
        "plain_text",
        "runner",
        "settings",
        "versions",
    ),
    ("files", "net"),
    ("store", "tags"),
    ("library", "playlists"),
    ("correlation",),
    ("fingerprint",),
    ("lookup", "scan", "servers", "upkeep"),
    ("groups",),
    ("confirm", "nulltest", "quality"),
    ("playback",),
    ("covers", "gate", "organize", "pipeline", "plan", "report"),
    ("cleanup",),
    ("backup", "synthesis"),
)
"""The rooms of dedup/, from the ground up. A room imports from floors below its own, and from rooms beside it that do
not import from it."""


def imported_by(source: str) -> Iterator[str]:
    """Dotted names that a module imports: "a.b" for `import a.b`, "a.b" and "a.b.c" for `from a.b import c`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only: they show the layer"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)
            yield module


def module_graph(repo: Path, packages: tuple[str, ...]) -> dict[str, set[str]]:
    """Which modules of these packages each of them imports. A package stands for its `__init__.py`."""
    files = {
        ".".join(path.relative_to(repo).with_suffix("").parts): path
        for package in packages
        for path in sorted((repo / package).rglob("*.py"))
    }
    graph = {}
    for name, path in files.items():
        found = set(imported_by(path.read_text(encoding="utf-8")))
        graph[name] = ({other for other in found if other in files}) - {name}
    return graph


def rooms(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Which rooms of dedup/ each room imports."""
    found: dict[str, set[str]] = {}
    for module, imported in graph.items():
        found.setdefault(room_of(module), set()).update(room_of(other) for other in imported)
    return {room: others - {room} for room, others in found.items()}


def room_of(module: str) -> str:
    return module.split(".")[1]


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """The sets of two and more that reach each other."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            new = graph.get(ahead.pop(), set()) - seen
            seen |= new
            ahead += new
        return seen

    reached = {name: reach(name) for name in graph}
    found: list[set[str]] = []
    for name in graph:
        circle = {other for other in reached[name] if name in reached.get(other, ())}
        if circle and circle not in found:
            found.append(circle)
    return found


def floor_of(room: str) -> int:
    return next(floor for floor, names in enumerate(FLOORS) if room in names)


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_nothing_above_it(layer: str) -> None:
    modules = sorted((REPO / layer).rglob("*.py"))
    assert modules
    against = {
        f"{module.relative_to(REPO)} imports {name}"
        for module in modules
        for name in imported_by(module.read_text(encoding="utf-8"))
        if name.split(".")[0] in FORBIDDEN[layer]
    }
    assert against == set()


def test_imports_in_dedup_follow_the_order_of_its_rooms() -> None:
    graph = module_graph(REPO, ("dedup",))
    unknown = {room_of(m) for m in graph if "." in m} - {room for floor in FLOORS for room in floor}
    assert unknown == set(), "a new room gets a floor"
    upward = {
        f"{module} imports {other}"
        for module, imported in graph.items()
        for other in imported
        if floor_of(room_of(other)) > floor_of(room_of(module))
    }
    assert upward == set()
    assert circles(rooms(graph)) == [], "rooms beside each other"


def test_no_modules_import_each_other_anywhere() -> None:
    assert circles(module_graph(REPO, ("dedup", "cluster", "jobs", "scripts", "tests"))) == []


def test_imports_in_jobs_go_from_commands_to_show_to_session() -> None:
    order = ("session", "show", "serve", "commands")
    upward = {
        f"{module} imports {other}"
        for module, imported in module_graph(REPO, ("jobs",)).items()
        for other in imported
        if module.count(".") == other.count(".") == 2 and order.index(room_of(other)) > order.index(room_of(module))
    }
    assert upward == set()


def test_no_command_imports_another_command() -> None:
    commands = module_graph(REPO, ("jobs",))
    siblings = {
        f"{module} imports {other}"
        for module, imported in commands.items()
        for other in imported
        if module.startswith("jobs.commands.") and other.startswith("jobs.commands.")
    }
    assert siblings == set()


def test_the_design_page_names_each_room() -> None:
    page = (REPO / "dedup" / "DESIGN.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (REPO / "dedup").glob("*/__init__.py")}
    assert {folder for folder in folders if not re.search(rf"\b{folder}/", page)} == set()


def test_the_walk_sees_imports_inside_functions() -> None:
    source = "def f():\n    import click.testing\n    from dask import delayed\n"
    assert set(imported_by(source)) == {"click.testing", "dask", "dask.delayed"}


def test_circles_of_any_length_are_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b"}, "b": set()}) == []
