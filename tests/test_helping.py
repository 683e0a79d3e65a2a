"""`--help`: what each command lists, under which heading, and that no choice is left for the reader to guess."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from dedup.groups.keep import PRESETS, RULE_NAMES
from jobs import cli
from jobs.session import helping
from jobs.session.options import SETTINGS


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli.cli)
    for name in cli.COMMANDS:
        command = cli.cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", one) for sub, one in command.commands.items())
        else:
            yield name, command


COMMANDS = dict(commands())


def text_of(command: str, *options: str) -> str:
    result = CliRunner().invoke(cli.cli, [*command.split(), *options])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def words_of(text: str) -> str:
    return " ".join(text.split())


def test_the_main_job_shows_the_usual_options_under_headings() -> None:
    text = text_of("full", "--help")
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == list(helping.HEADINGS)
    assert "--keep RULES" in text
    assert "--max-lag" not in text
    assert text.splitlines()[-1] == "30 more options: reprise full --help-all"
    assert len(text.splitlines()) < 90, "not a wall"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_all_shows_every_option(name: str) -> None:
    text = words_of(text_of(name, "--help-all"))
    assert "more options" not in text
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[-1] in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_short_list_is_whole(name: str) -> None:
    short, every = text_of(name, "--help"), text_of(name, "--help-all")
    assert (short == every) == ("more options" not in short)


@pytest.mark.parametrize("name", COMMANDS)
def test_choices_are_listed_and_defaults_are_values(name: str) -> None:
    text = words_of(text_of(name, "--help-all"))
    assert "(none)" not in text
    assert "[default: none]" not in text
    for parameter in COMMANDS[name].params:
        is_flag = getattr(parameter, "is_flag", False)  # such as `--again` of `resolve`, which is no setting
        setting = None if is_flag else SETTINGS.get(str(parameter.name).replace("_", "-"))
        choices = setting.choices if setting else ()
        if isinstance(parameter.type, click.Choice):
            choices = tuple(map(str, parameter.type.choices))
        assert all(choice in text for choice in choices), parameter.name


def test_keep_names_every_rule_and_preset() -> None:
    text = SETTINGS["keep"].option.help.replace(",", " ").replace(";", " ").replace(".", " ").replace(":", " ").split()
    assert {*RULE_NAMES, *PRESETS} <= set(text)
