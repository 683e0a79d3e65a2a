"""What README.md and docs/ promise is there, and what is there is in them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from dedup import errors
from jobs.cli import COMMANDS, SHORT_FORMS
from jobs.session.lines import PLAIN_WIDTH

REPO = Path(__file__).resolve().parent.parent
FOLDERS = ("cluster", "dedup", "docs", "jobs", "scripts", "tests")
PAGES = sorted(
    [
        *REPO.glob("*.md"),
        *(REPO / "docs").rglob("*.md"),
        *(REPO / "dedup").rglob("*.md"),
    ]
)
IDS = [str(page.relative_to(REPO)) for page in PAGES]
README_BYTES = 9_000
PICTURE_BYTES = 150_000
SUFFIXES = (".css", ".js", ".lock", ".md", ".py", ".sh", ".sql", ".yml")
"""Of files that are ours wherever a page names one. Other files, such as plan.json, may be the user's."""
OF_USERS = (".damaged", ".db", ".json", ".log", ".toml", ".zarr")
"""Of files that no module has the name of: catalog.db is in the store."""


def read(page: str) -> str:
    return (REPO / page).read_text(encoding="utf-8")


def between(text: str, name: str) -> str:
    """What stands between <!-- name --> and <!-- /name -->."""
    return text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def exit_codes() -> set[int]:
    """Every exit code that the code knows."""
    constants = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    classes = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")
    }
    return constants | classes


def test_every_command_is_documented() -> None:
    text = read("docs/commands.md").replace("\\|", "/")
    rows = dict(re.findall(r"^\| `reprise (\w+)[^`]*`[^|]*\| (?:`(-\w)`)? ?\|", text, re.M))
    assert set(rows) == set(COMMANDS)
    assert {short: name for name, short in rows.items() if short} == SHORT_FORMS


def test_the_readme_names_every_command() -> None:
    named = set(re.findall(r"`(?:reprise )?(\w+)[^`]*`", read("README.md").partition("## Commands")[2]))
    assert set(COMMANDS) <= named


def test_every_exit_code_is_documented_and_no_other() -> None:
    table = between(read("docs/exit-codes.md"), "codes")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)} == exit_codes()


def test_the_readme_is_short_and_names_the_long_tests() -> None:
    assert len((REPO / "README.md").read_bytes()) <= README_BYTES
    assert re.search(r"\./scripts/test\.sh.*--all", read("README.md"))


def test_the_demo_of_the_readme_looks_as_the_program_does() -> None:
    """scripts/pictures.py holds each line of it against a real run."""
    demo = between(read("README.md"), "demo").splitlines()
    assert any(line.startswith("best  ") for line in demo)
    assert all(len(line) <= PLAIN_WIDTH for line in demo)
    assert any(re.fullmatch(r"truth +(\d+) of \1 planted pairs found, 0 false", line) for line in demo)


def test_every_word_of_the_glossary_has_one_sentence() -> None:
    rows = dict(re.findall(r"^\| ([a-z][^|]+?) \| (.+) \|$", read("docs/glossary.md"), re.M))
    rows.pop("term")
    wanted = "kappa|evidence|prominence|steps alike|noise floor|decoy|lag|item|tile|block|verdict"
    assert set(wanted.split("|")) <= set(rows)
    assert list(rows) == sorted(rows)
    for term, meaning in rows.items():
        assert meaning.endswith("."), term
        assert ". " not in meaning, term


def test_the_changelog_knows_this_version() -> None:
    from dedup import __version__

    assert f"## {__version__}" in read("CHANGELOG.md")


# ---- what pages point at ----


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", prose(page)):
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not heading or heading in anchors(file), target


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_modules_and_paths_are_there(page: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    words = {word.strip(",.;:()") for span in spans for word in span.split()}
    assert sorted(word for word in words if is_ours(word) and not resolves(word, page)) == []


def prose(page: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def is_ours(word: str) -> bool:
    """Whether it names a file, a folder or a module of this repository, be it there or not."""
    if re.fullmatch(r"(\./)?[\w.-]+(/[\w.-]+)*/?", word) is None or word.startswith((".venv", "build/", "docs/venv")):
        return False
    if word.endswith(SUFFIXES) and not word.startswith("."):
        return True
    first = re.split(r"[/.]", word.removeprefix("./"))[0]
    if "/" in word:
        return first in FOLDERS
    dotted = re.fullmatch(r"[a-z_]\w*(\.\w+)+", word) is not None and not word.endswith(OF_USERS)
    return dotted and first not in tables() and any(first in module for module in modules())


def resolves(word: str, page: Path) -> bool:
    """Whether there is such a path, from the root, from the page or the end of one, such a module, or a name in one."""
    path = word.removeprefix("./").rstrip("/")
    if (REPO / path).exists() or (page.parent / path).exists():
        return True
    if "/" in word or word.endswith(SUFFIXES):
        return any(f"/{file}".endswith(f"/{path}") for file in files())
    parts = tuple(word.split("."))
    for n in range(len(parts), 0, -1):
        for module, file in modules().items():
            if module[-n:] == parts[:n] and defines(file, parts[n:]):
                return True
    return False


def defines(file: Path, names: tuple[str, ...]) -> bool:
    """Whether the module has such a name, and that, if it is a class, the next one."""
    if not names:
        return True
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        found = {getattr(target, "id", getattr(target, "name", None)) for target in targets}
        if names[0] in found:
            return len(names) == 1 or re.search(rf"\b{names[1]}\b", ast.unparse(node)) is not None
    return False


@cache
def files() -> frozenset[str]:
    """Every file of the repository's folders, from its root."""
    kept = (file for folder in FOLDERS for file in (REPO / folder).rglob("*") if "__pycache__" not in file.parts)
    return frozenset(str(file.relative_to(REPO)) for file in kept)


@cache
def modules() -> dict[tuple[str, ...], Path]:
    """Every module and package by the parts of its name."""
    found: dict[tuple[str, ...], Path] = {}
    for name in files():
        if name.endswith(".py"):
            parts = tuple(name.removesuffix(".py").split("/"))
            found[parts[:-1] if parts[-1] == "__init__" else parts] = REPO / name
    return found


@cache
def tables() -> frozenset[str]:
    """Of the catalog: `tile.pairs` is a column in FORMAT.md."""
    return frozenset(re.findall(r"CREATE TABLE (\w+)", read("dedup/store/schema.sql"), re.I))


@pytest.mark.parametrize("picture", sorted((REPO / "docs" / "pictures").iterdir()), ids=lambda picture: picture.name)
def test_pictures_are_small_and_drawings_show_no_folder_of_a_machine(picture: Path) -> None:
    content = picture.read_bytes()
    assert len(content) <= PICTURE_BYTES
    if picture.suffix == ".svg":
        assert re.search(rb"/(tmp|home|root|work|Users)\b", content) is None
    assert any(f"pictures/{picture.name}" in page.read_text(encoding="utf-8") for page in PAGES)
