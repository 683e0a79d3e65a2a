"""The options that several commands share. Those of the settings are derived from the declarations in `dedup.settings`
and `jobs.session.run_settings`.

A setting's option records what was given on the command line and passes nothing to the command:
`jobs.session.run.session` resolves the settings (command line > environment > profile > file > default) and hands the
command a `Run`. So an option may stand before or after the command's name, and the later one wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from dedup import settings as domain
from dedup.declaration import Setting, settings_of
from jobs.session import helping
from jobs.session.helping import ListedOption
from jobs.session.run_settings import RunSettings
from jobs.session.values import SWITCH, Value, value_of

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]

_OWNERS: tuple[type, ...] = (RunSettings, *domain.DECLARED)
SETTINGS = {setting.name: setting for owner in _OWNERS for setting in settings_of(owner)}
"""Every setting, by its name."""
VALUES = {name: value_of(setting) for name, setting in SETTINGS.items()}
"""How each setting is written, by its name."""

_HEADINGS = {
    domain.DiscoverSettings: helping.LOOK,
    domain.ScanSettings: helping.LOOK,
    domain.FingerprintSettings: helping.LOOK,
    domain.CompareSettings: helping.COMPARE,
    domain.MatchSettings: helping.COMPARE,
    domain.KeepSettings: helping.KEEP,
    domain.PlanSettings: helping.OTHERS,
    domain.GateSettings: helping.OTHERS,
    domain.InboxSettings: helping.OTHERS,
    domain.LookupSettings: helping.OWN,
    domain.OrganizeSettings: helping.OWN,
    RunSettings: helping.WORK,
}
HEADINGS = {setting.name: heading for owner, heading in _HEADINGS.items() for setting in settings_of(owner)}
"""Where the help lists each setting, by its name."""
HEADINGS |= {"reads-per-disk": helping.WORK, "store": helping.ALWAYS, "profile": helping.ALWAYS}
HEADINGS |= dict.fromkeys(("until", "max-hours", "notify", "notify-when"), helping.STOP)

_GIVEN = "jobs.session.options.given"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return "REPRISE_" + name.upper().replace("-", "_")


def given(context: click.Context) -> dict[str, Any]:
    """What this command line set, by name; filled while click parses."""
    values: dict[str, Any] = context.meta.setdefault(_GIVEN, {})
    return values


def _record(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = str(parameter.name).replace("_", "-")
    if context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE:
        given(context)[name] = value


def _option(name: str, rare: bool = False) -> Decorator[Any]:
    return _option_of(SETTINGS[name], VALUES[name], rare)


def _option_of(setting: Setting, value: Value, rare: bool = False) -> Decorator[Any]:
    is_switch, option = value.kind is SWITCH, setting.option
    words = f" Any of {', '.join(setting.choices)}." if setting.is_list and setting.choices else ""
    default = setting.default_text if setting.default_text not in ("none", "nothing") else False
    return click.option(
        f"--{setting.name}/--no-{setting.name}" if is_switch else f"--{setting.name}",
        type=None if is_switch else value,
        default=None if value.many else setting.default,
        multiple=value.many,
        metavar=option.metavar or "|".join(value.choices) or None,
        help=option.help + words + (" Repeatable." if value.many else ""),
        show_default=True if is_switch else default,
        hidden=setting.hidden,
        cls=ListedOption,
        heading=HEADINGS[setting.name],
        rare=rare or option.rare,
        expose_value=False,
        callback=_record,
    )


def _processes_of_a_worker() -> Decorator[Any]:
    """The setting "workers" of a command that has only processes of its own to offer."""
    setting = SETTINGS["workers"]
    own = replace(setting.option, help="Processes that join; 'all' is one for each core.", low=1)
    setting = replace(setting, option=own)
    return _option_of(setting, value_of(setting))


def _flag(*names: str, text: str) -> Decorator[Any]:
    return click.option(
        *names,
        is_flag=True,
        expose_value=False,
        callback=_record,
        help=text,
        cls=ListedOption,
        heading=helping.ALWAYS,
    )


def together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """One decorator for several, in the order in which `--help` shows them."""

    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def _options(*names: str, rare: bool = False) -> Decorator[Any]:
    return together(*(_option(name, rare) for name in names))


def _names(owner: type) -> list[str]:
    return [setting.name for setting in settings_of(owner)]


json = _flag("--json", text="Print one JSON object per line on stdout; text for people goes to stderr.")
quiet = _flag("-q", "--quiet", text="Show no progress, and only the failures of the summary.")
verbose = _flag("-v", "--verbose", text="Report each problem as it occurs.")
common = together(_options("store", "profile"), json, quiet, verbose)

worker_processes, tls, insecure, protect = map(_option, ("workers", "tls", "insecure", "protect"))
joining_processes = _processes_of_a_worker()
block_size, length, min_length = map(_option, ("block-size", "length", "min-length"))
workers = _options(
    *("workers", "scheduler", "hosts", "remote-python", "tls", "insecure", "map", "reads-per-disk", "worker-timeout")
)
deadline = _options("until", "max-hours")
decoding = _options("time-limit")
notify = _options("notify", "notify-when")
strict = _options("strict")
allow_empty = click.option(
    "--allow-empty", is_flag=True, help="Forget the files of a root that is suddenly empty, without asking."
)
discover = _options(*_names(domain.DiscoverSettings))
scan = together(discover, _options("min-length", "time-limit", "length", "retry-failed", "again", "block-size"))
compare = _options(*_names(domain.CompareSettings))
match = _options(*_names(domain.MatchSettings))
keep = _options(*_names(domain.KeepSettings))
cleanup = _options(*_names(domain.PlanSettings))
GATE = (
    *("varispeed", "time-limit", "min-length", *_names(domain.MatchSettings), *_names(domain.KeepSettings), "let-go"),
    *_names(domain.GateSettings),
)
"""Settings by which the gate decides."""
gate = _options(*GATE)
INBOX = tuple(_names(domain.InboxSettings))
inbox = _options(*INBOX)
OF_GATE_ALONE = (*_names(domain.GateSettings), *INBOX)
"""Settings that no other command takes."""
lookup = _options(*(name for name in _names(domain.LookupSettings) if not SETTINGS[name].option.secret))
"""How services on the net are asked."""
let_go = _option("let-go")
trusted = together(match, _options("let-go", "break-albums", "to", "protect-loved"))
"""Settings up to which `apply` takes the word of a plan that was changed by hand."""

_OWN = ("roots", "store", "profile", *_names(domain.LookupSettings), *_names(domain.OrganizeSettings))
every = _options(*(name for name in SETTINGS if name not in _OWN), rare=True)
"""All settings except those of `identify` and `organize` alone; only `--help-all` lists them: for `info --settings`,
which shows what a run with them would use, and `schedule`, which passes them on."""

roots = click.argument(
    "roots", metavar="[ROOT]...", nargs=-1, type=VALUES["roots"], expose_value=False, callback=_record
)
