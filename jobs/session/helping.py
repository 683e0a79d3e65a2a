"""`--help` of a command: options under headings, the usual ones first; `--help-all` shows the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

OWN, LOOK, COMPARE = "Options", "What to look at", "How to compare"
KEEP, OTHERS = "Which copy stays", "What happens to the others"
WORK, STOP, ALWAYS = "Where to work", "When to stop", "With every command"
HEADINGS = (OWN, LOOK, COMPARE, KEEP, OTHERS, WORK, STOP, ALWAYS)
"""Headings in their order; options of a command alone stand under OWN."""

SHORT_LIST = 16
"""Most options that a command's `--help` shows with its rare ones."""

_ALL = "jobs.session.helping.all"


class ListedOption(click.Option):
    """An option with its place in the help."""

    def __init__(self, *args: Any, heading: str = OWN, rare: bool = False, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.heading = heading
        self.rare = rare
        """Whether a long list leaves it to `--help-all`."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Click puts a default in words between parentheses; here it stands as it is."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


class Command(click.Command):
    """A command whose help is listed so."""

    _help_all: click.Option | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        if self._help_all is None:
            self._help_all = ListedOption(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_all,
                help="Show every option and exit.",
                heading=ALWAYS,
            )
        return [*params, self._help_all]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = list(self._shown(ctx))
        rare = [record for _, record, is_rare in shown if is_rare]
        is_short = len(shown) > SHORT_LIST and bool(rare) and not ctx.meta.get(_ALL)
        for heading in HEADINGS:
            records = [record for place, record, is_rare in shown if place == heading and not (is_short and is_rare)]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
        if is_short:
            formatter.write_paragraph()
            formatter.write_text(f"{len(rare)} more options: {ctx.command_path} --help-all")

    def _shown(self, ctx: click.Context) -> Iterator[tuple[str, tuple[str, str], bool]]:
        """Heading, lines and rarity of each option."""
        for param in self.get_params(ctx):
            record = None if isinstance(param, click.Argument) else param.get_help_record(ctx)
            if record is not None:
                heading, rare = getattr(param, "heading", OWN), getattr(param, "rare", False)
                yield ALWAYS if "--help" in param.opts else heading, record, rare


def _show_all(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001 - click's form
    if value and not context.resilient_parsing:
        context.meta[_ALL] = True
        click.echo(context.get_help(), color=context.color)
        context.exit()
