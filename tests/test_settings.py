"""Settings are declared once: what the dataclass, the option and the documentation say of one is the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from dedup.declaration import Option, Settings, settings_of
from dedup.errors import UsageError
from dedup.settings import (
    DECLARED,
    CompareSettings,
    FingerprintSettings,
    KeepSettings,
    MatchSettings,
    PlanSettings,
    ScanSettings,
)
from jobs.session.options import SETTINGS, VALUES
from jobs.session.run_settings import RunSettings
from jobs.session.settings_table import settings_table, with_table

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "settings.md"


def test_digests_are_what_tiles_were_named_by() -> None:
    assert CompareSettings().digest() == "634f98634d099eb7bea391bb18b7ccbe"
    assert CompareSettings("exact", 10, 0.5, 9).digest() == "9bd8f41762bc1d99f1553c471647e0b2"


def test_differences_name_both_values() -> None:
    other = FingerprintSettings(algorithm=2, length_s=5.0)
    assert FingerprintSettings().differences(other) == ["algorithm 1 / 2", "length_s 0.0 / 5.0"]


def test_another_backend_is_no_difference() -> None:
    other = FingerprintSettings("1.4.0")
    assert other == FingerprintSettings()
    assert FingerprintSettings().differences(other) == []


@dataclass(frozen=True)
class Sample(Settings):
    """One field of each sort."""

    size_s: Annotated[float, Option("Size.", "SECONDS", 0, 2, above=True, none="off")] = 1.0
    count: Annotated[int | None, Option("Count.", "N", 1)] = None
    sort: Annotated[Literal["a", "b"], Option("Sort.", name="kind")] = "a"
    paths: Annotated[tuple[bytes, ...], Option("Paths.", "DIR")] = ()
    own: float = -1.0


def test_a_declaration_says_it_all() -> None:
    size, count, sort, paths = settings_of(Sample)
    assert [one.name for one in (size, count, sort, paths)] == ["size", "count", "kind", "paths"]
    assert (size.field, size.kind, size.default) == ("size_s", float, 1.0)
    assert (count.kind, count.is_list, count.default) == (int, False, None)
    assert sort.choices == ("a", "b")
    assert (paths.kind, paths.is_list, paths.default) == (bytes, True, ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size_s": 0}, "setting size: found 0. Write a number greater than 0 and at most 2, or 'off'"),
        ({"size_s": 2.5}, "setting size: found 2.5. Write a number greater than 0 and at most 2, or 'off'"),
        ({"size_s": math.nan}, "setting size: found nan. Write a number greater than 0 and at most 2, or 'off'"),
        ({"count": 0}, "setting count: found 0. Write a whole number of at least 1"),
        ({"sort": "c"}, "setting kind: found 'c'. Write 'a' or 'b'"),
    ],
)
def test_a_dataclass_refuses_what_its_options_do_not_allow(values: dict[str, Any], message: str) -> None:
    Sample(2.0, 1, "b")
    Sample(None, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as caught:
        Sample(**values)
    assert str(caught.value) == message


def test_ask_is_at_most_auto() -> None:
    PlanSettings(auto=0.9, ask=0.9)
    with pytest.raises(UsageError, match=r"ask: found 0\.95\. Write at most 0\.9"):
        PlanSettings(auto=0.9, ask=0.95)


NUMBERS = [name for name, setting in SETTINGS.items() if setting.kind in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_option_and_dataclass_draw_the_same_line(name: str) -> None:
    setting, value = SETTINGS[name], VALUES[name]
    (owner,) = (owner for owner in (RunSettings, *DECLARED) if setting in settings_of(owner))
    option = setting.option
    around = {bound + step for bound in (option.low, option.high) if bound is not None for step in (-1, 0, 0.25, 1)}
    allowed = set()
    for number in sorted(setting.kind(one) for one in around):
        by_option = by_dataclass = True
        try:
            value.understand(str(number))
        except UsageError:
            by_option = False
        try:
            owner(**{setting.field: number})
        except UsageError:
            by_dataclass = False
        assert by_option == by_dataclass, number
        allowed.add(by_option)
    assert allowed == {True, False}
    with pytest.raises(UsageError):
        value.understand("nan")


def test_a_pass_for_other_speeds_is_told_apart_by_the_first() -> None:
    firsts = [
        CompareSettings(),
        CompareSettings("join"),
        CompareSettings(max_lag=243),
        CompareSettings(min_overlap=0.5),
    ]
    passes = [each.passes for each in firsts]
    assert [first for first, _ in passes] == firsts
    assert len({each.digest() for both in passes for each in both}) == 2 * len(firsts)
    assert {each.narrowed.method for _, each in passes} == {"cascade"}
    assert all(CompareSettings(**each.record()) == each for both in passes for each in both)
    assert CompareSettings(varispeed=False).passes == (CompareSettings(varispeed=False),)
    assert CompareSettings(varispeed=False).digest() == CompareSettings().digest()


def test_every_field_of_a_class_for_users_is_a_setting() -> None:
    for owner in (RunSettings, *DECLARED):
        declared = {setting.field for setting in settings_of(owner)}
        own = {field.name for field in fields(owner)} - declared  # type: ignore[arg-type]
        assert own == {
            ScanSettings: {"discover"},
            CompareSettings: {"stretched"},
            FingerprintSettings: {"chromaprint", "algorithm", "sample_rate"},
        }.get(owner, set())
    assert len(SETTINGS) == sum(len(settings_of(owner)) for owner in (RunSettings, *DECLARED)), "names are unique"


def test_the_default_of_each_setting_is_one_that_may_be_written() -> None:
    for name, setting in SETTINGS.items():
        value = VALUES[name]
        if setting.default is not None and not value.many:
            assert value.understand(setting.default, typed=not isinstance(setting.default, (tuple, frozenset))) == (
                setting.default
            )
        assert setting.default_text


def test_defaults_in_words() -> None:
    shown = {name: SETTINGS[name].default_text for name in ("max-lag", "min-length", "merge", "keep", "prefer", "to")}
    assert shown == {
        "max-lag": "all",
        "min-length": "10",
        "merge": "yes",
        "keep": "best",
        "prefer": "none",
        "to": ".reprise-quarantine in each root",
    }
    assert KeepSettings().rules == ("best",)
    assert MatchSettings().min_score is not None


def test_the_documentation_has_the_settings_as_they_are_declared() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_table(text) == text, "write it anew: python -m jobs.session.settings_table docs/settings.md"


def test_the_table_has_a_row_for_each_setting_that_is_shown() -> None:
    head, rule, *rows = settings_table().splitlines()
    assert (head, rule) == ("| setting | default | meaning |", "|---|---|---|")
    names = [row.split("`")[1] for row in rows]
    unlisted = ("block-size", "few-tasks", "profile", "acoustid-url", "musicbrainz-url")
    assert names == [name for name in SETTINGS if name not in unlisted]
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)
    assert "| `max-lag` | all | Largest shift to try" in settings_table()


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no <!-- settings -->"):
        with_table("# Settings\n")
    assert with_table("a\n<!-- settings -->old<!-- /settings -->\nz").splitlines()[-1] == "z"
