"""`reprise`: the group of commands. Imports click and nothing heavy; a command's module is imported when it
runs."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from dedup import __version__
from dedup.errors import EXIT_DONE
from jobs.session import options

COMMANDS = {
    "full": ("jobs.commands.full:full", "Scan, correlate and report: the main job."),
    "scan": ("jobs.commands.scan:scan", "Find the audio files below folders and fingerprint the new ones."),
    "correlate": ("jobs.commands.correlate:correlate", "Compare tracks that were not compared before."),
    "report": ("jobs.commands.report:report", "Show the groups of duplicates."),
    "plan": ("jobs.commands.plan:plan", "Show which copies would go, and why, for review."),
    "resolve": ("jobs.commands.resolve:resolve", "Review the groups one by one and write a plan."),
    "serve": ("jobs.commands.serve:serve", "Review the groups in a browser, by ear."),
    "apply": ("jobs.commands.apply:apply", "Carry out a plan."),
    "undo": ("jobs.commands.undo:undo", "Undo a clean-up."),
    "history": ("jobs.commands.undo:history", "List past clean-ups."),
    "quarantine": ("jobs.commands.quarantine:quarantine", "List what clean-ups moved away, or remove it for good."),
    "tag": ("jobs.commands.tag:tag", "Write names, fingerprints, hashes or ReplayGain into tags."),
    "cover": ("jobs.commands.cover:cover", "Choose, crop and shrink a picture, and make it the front cover."),
    "organize": ("jobs.commands.organize:organize", "Move files to where they belong by their tags."),
    "pair": ("jobs.commands.pair:pair", "Compare two files and say why they match or not."),
    "identify": ("jobs.commands.identify:identify", "Say what recordings are: title, artist, release, track."),
    "name": ("jobs.commands.name:name", "Answer what `reprise identify` could not tell."),
    "backup": ("jobs.commands.backup:backup", "Copy what a server or a drive has and the library does not."),
    "gate": ("jobs.commands.gate:gate", "Say whether the library has what a new file holds."),
    "server": ("jobs.commands.server:server", "Check the media servers that play the library."),
    "mark": ("jobs.commands.mark:mark", "Record for good that two files are the same recording, or not."),
    "info": ("jobs.commands.info:info", "Show the store, one file, the settings, or the installation."),
    "quality": ("jobs.commands.quality:quality", "Show formats, and files that are not what they say."),
    "runs": ("jobs.commands.runs:runs", "List past runs: what they did, and why they ended."),
    "schedule": ("jobs.commands.schedule:schedule", "Run the main job every night."),
    "check": ("jobs.commands.check:check", "Verify the store."),
    "compact": ("jobs.commands.compact:compact", "Merge small blocks, and drop the data of files that are gone."),
    "import": ("jobs.commands.exchange:import_", "Import fingerprints made elsewhere."),
    "export": ("jobs.commands.exchange:export", "Stream the library, pairs or groups: JSON lines, CSV."),
    "worker": ("jobs.commands.worker:worker", "Work for a Dask scheduler on another host."),
    "cluster": ("jobs.commands.cluster:cluster", "Prepare a cluster of several hosts."),
    "demo": ("jobs.commands.demo:demo", "Make a small music library and find its duplicates."),
}
"""Commands by name: where each one is ("module:attribute"), and its line in the help."""

SHORT_FORMS = {"-f": "full", "-s": "scan", "-c": "correlate", "-p": "pair", "-i": "info"}


class Reprise(click.Group):
    """A group whose help and completion import no command, and which takes -f for `full` and so on."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.commands or cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(name, possibilities=list(COMMANDS), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spelled_out(args))

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Ends the process with the exit code of the table in `dedup.errors`; never with a traceback."""
        from jobs.session import output

        gc.set_threshold(200_000, 20, 20)  # a report makes millions of objects that live until its end
        output.prepare_streams()
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(arguments, *rest, **extra)
            output.Output().flush()
        except SystemExit:
            raise
        except BaseException as error:
            from jobs.session import run

            code = run.exit_code_of(error, as_json="--json" in arguments)
        gc.freeze()  # else Python looks at each object once more before it ends, for 30 ms
        sys.exit(code if isinstance(code, int) else EXIT_DONE)


def spelled_out(args: Sequence[str]) -> list[str]:
    """The arguments, with a short form before the command's name replaced by the name that it stands for; it may end a
    word of single-letter switches, as in `-vf`."""
    words = list(args)
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        word = words[at]
        for short, name in SHORT_FORMS.items():
            if word in (short, f"--{name}"):
                return [*words[:at], name, *words[at + 1 :]]
            if word[-1] == short[-1] and len(word) > 2 and set(word[1:-1]) <= set("qv"):
                return [*words[:at], word[:-1], name, *words[at + 1 :]]
        at += 2 if word in ("--store", "--profile") else 1
    return words


_short_forms = options.together(
    *(
        click.option(short, f"--{name}", is_flag=True, expose_value=False, help=f"The same as the command {name}.")
        for short, name in SHORT_FORMS.items()
    )
)


@click.group("reprise", cls=Reprise, context_settings={"help_option_names": ["-h", "--help"]})
@_short_forms
@options.common
@click.version_option(__version__, "-V", "--version", prog_name="reprise", message="%(prog)s %(version)s")
def cli() -> None:
    """Find every recording that a music library holds more than once, by its sound.

    To start: reprise full ~/Music. Finished work is kept, so you can stop a run at any time, and the next one goes on
    from there. You can also put a setting into the settings file or into a variable such as REPRISE_WORKERS; `reprise
    info --settings` lists all settings, and where each value comes from."""


def main() -> None:
    """The console script, and `python -m jobs`."""
    cli.main(prog_name="reprise")
