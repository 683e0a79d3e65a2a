"""SQL stands in dedup/store/ alone, one module a table. It is read from the code; scripts and tests may look into a
catalog as they like."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent

OUTSIDE = [
    path
    for package in ("dedup", "cluster", "jobs")
    for path in sorted((REPO / package).rglob("*.py"))
    if not path.is_relative_to(REPO / "dedup" / "store")
]

TABLES = {
    "audio": "audios",
    "backed_up": "backups",
    "block": "sealed",
    "comparison": "comparisons",
    "fingerprint": "fingerprints",
    "judgement": "judgements",
    "lookup": "lookups",
    "naming": "namings",
    "measurement": "measurements",
    "meta": "meta",
    "nulltest": "nulltests",
    "pitches": "pitches",
    "probe": "probes",
    "run": "runs",
    "tail": "fingerprints",
    "tile": "results",
    "track": "tracks",
}
"""The module of each table of the catalog."""

OF_THE_GATE = {"question": "questions", "reservation": "questions", "moved": "questions"}
"""The same of the gate's own database."""

STATEMENT = re.compile(r"\b(SELECT|INSERT (OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA \w+|(CREATE|ALTER) TABLE)\b")

CHANGE = re.compile(r"\b(?:INSERT (?:OR \w+ )?INTO|UPDATE|DELETE FROM) (\w+)\b")

CALLS = ("execute", "executemany", "executescript", "cursor")


def executed(tree: ast.AST) -> Iterator[str]:
    """What calls a method that runs SQL, or hands one on, in text: "catalog.connection.execute". Another object's
    method of that name counts too, except a function of a module, as in `worker.execute`."""
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CALLS and ast.unparse(node.value) not in modules:
            yield ast.unparse(node)


def texts(tree: ast.AST) -> Iterator[str]:
    """All text of a module that is not a docstring."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_nothing_outside_the_store_runs_sql_or_words_it() -> None:
    assert len(OUTSIDE) > 100
    found = []
    for path in OUTSIDE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        worded = [text for text in texts(tree) if STATEMENT.search(text) or text.startswith("WHERE ")]
        found += [f"{path.relative_to(REPO)}: {what}" for what in (*executed(tree), *worded)]
    assert found == []


def tables_of(tree: ast.AST) -> Iterator[str]:
    """Names of the tables whose class, a `Table` or `Words`, a module has: its methods write whole rows of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and {"Table", "Words"} & {
            ast.unparse(base).split("[")[0] for base in node.bases
        }:
            for each in node.body:
                if isinstance(each, ast.Assign) and "name" in ast.unparse(each.targets[0]):
                    value = ast.literal_eval(each.value)
                    yield value[0] if isinstance(value, tuple) else value


def test_only_the_module_of_a_table_changes_it() -> None:
    """Other than `rescue`, which copies rows of all tables alike out of a damaged catalog."""
    schema = resources.files("dedup.store").joinpath("schema.sql").read_text()
    assert set(re.findall(r"CREATE TABLE (\w+)", schema)) == TABLES.keys()
    changed: dict[str, set[str]] = {}
    for path in sorted((REPO / "dedup" / "store").glob("*.py")):
        if path.stem != "rescue":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for table in tables_of(tree):
                changed.setdefault(table, set()).add(path.stem)
            for text in texts(tree):
                for table in set(CHANGE.findall(text)) - {"SET"}:  # of ON CONFLICT … DO UPDATE SET
                    changed.setdefault(table, set()).add(path.stem)
    assert changed == {table: {module} for table, module in (TABLES | OF_THE_GATE).items()}


def test_sql_is_seen_however_it_is_run() -> None:
    source = (
        "from cluster import worker\n"
        "def f(connection):\n"
        "    run = connection.execute\n"
        "    connection.cursor().executemany('SELECT 1 FROM x', [])\n"
        "    client.submit(worker.execute)\n"
    )
    tree = ast.parse(source)
    assert sorted(executed(tree)) == ["connection.cursor", "connection.cursor().executemany", "connection.execute"]
    assert [text for text in texts(tree) if STATEMENT.search(text)] == ["SELECT 1 FROM x"]
