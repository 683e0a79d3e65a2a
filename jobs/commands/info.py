"""`reprise info`: the store at a glance, everything known about one file, the settings and their sources, or how
Reprise is installed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dedup.declaration import value_text
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.installation import installation
from jobs.session.output import Column, local_time, path_text, size_text
from jobs.session.run import Run, reader
from jobs.show.words import heard_text, ids_text, lag_text

if TYPE_CHECKING:
    from dedup.store.store import Store
    from dedup.store.tracks import Track

REMEDY = "Install Reprise in an environment of its own: uv tool install, or pipx install"


@click.command("info", cls=Command)
@click.argument("file", required=False, type=click.Path(path_type=bytes))
@click.option("--settings", is_flag=True, help="Show each setting, its value and where it came from.")
@click.option("--install", is_flag=True, help="Show how Reprise is installed, and any package that breaks it.")
@options.every
@options.common
@reader
def info(run: Run, file: bytes | None, settings: bool, install: bool) -> None:
    """Show the store at a glance, everything known about FILE, the settings, or the installation."""
    if settings:
        show_settings(run)
        return
    if install:
        show_installation(run)
        return
    opened = stores.for_reading if file is None else stores.for_matching
    with opened(run) as store:
        if file is None:
            show_store(run, store)
        else:
            show_file(run, store, file)


def show_settings(run: Run) -> None:
    rows = [
        {"setting": name, "value": _told(name, settled.value, run.output.as_json), "source": settled.source}
        for name, settled in run.settings.settled.items()
    ]
    columns = (Column("setting", "setting"), Column("value", "value", value_text), Column("source", "from"))
    run.output.table(columns, rows)
    there = "" if run.settings.has_file else " (no file yet; make one to change a setting for good)"
    run.output.note(f"\nSettings file: {run.settings.file}{there}")


def show_installation(run: Run) -> None:
    """Version, place and Python, the versions of packages, and who else has installed a package of ours."""
    found = installation()
    run.output.result({"event": "install", **asdict(found)})
    if run.output.as_json:
        return
    versions = {name: version or "missing" for name, version in found.versions.items()}
    shown = {
        "version": versions.pop("reprise"),
        "installed": f"by {found.installer}" if found.installer else "no: this is a checkout",
        "folder": path_text(os.fsencode(found.folder)),
        "Python": f"{found.python}, {path_text(os.fsencode(found.executable))}",
        "packages": ", ".join(f"{name} {version}" for name, version in versions.items() if name != "Python"),
    }
    for name, text in shown.items():
        run.output.text(f"{name:10} {text}")
    for clash in found.clashes:
        run.output.text(f"{'problem':10} {clash}. {REMEDY}")


def _told(name: str, value: Any, as_json: bool) -> Any:
    """The value, or its words: for programs only those of None, for people also those of a default that says little."""
    setting = options.SETTINGS[name]
    if setting.option.secret and value is not None:
        return "(set)"
    has_words = value is None or (not as_json and value in ((), setting.default) and setting.option.shown)
    return setting.default_text if has_words else value


def show_store(run: Run, store: Store) -> None:
    """Counts of everything, and the settings in the store's stamp."""
    from dedup.report.glance import glance

    found = glance(store)
    run.output.result({"event": "store", "store": str(store.layout.folder), **found})
    if run.output.as_json:
        return
    run.output.text(f"store {store.layout.folder}")
    shown = {
        "tracks": ", ".join(f"{n:,} {state}" for state, n in found["tracks"].items()) or "none",
        "without fingerprint": ", ".join(f"{n:,} {kind}" for kind, n in found["problems"].items()) or "none",
        "fingerprints": f"{found['fingerprints']:,}, {found['hours']:,.1f} hours of audio",
        "blocks": f"{found['blocks']:,} of at most {store.block_size}, {found['tail']:,} fingerprints not sealed yet",
        "tiles": f"{found['tiles_done']:,} of {found['tiles']:,} done",
        "stored pairs": f"{found['pairs']:,}",
        "last run": _run_text(found["last_run"]),
        "on disk": size_text(found["bytes"]),
        "made with": ", ".join(f"{name} {value}" for name, value in found["fingerprint_settings"].items()),
    }
    for name, text in shown.items():
        run.output.text(f"  {name:20} {text}")


def _run_text(last: tuple[str, str, str | None, str | None] | None) -> str:
    if last is None:
        return "none"
    command, started, ended, outcome = last
    return f"{command}, began {local_time(started)}, " + (
        f"{outcome} {local_time(ended)}" if ended else "has no end: it runs now or was killed"
    )


def show_file(run: Run, store: Store, file: bytes) -> None:
    """One track: what the catalog knows, and what it matches. Raises InputError for an unknown file."""
    from dedup.quality.listing import file_of
    from dedup.report.export import pair_record, track_record
    from dedup.report.glance import look_up
    from dedup.report.library import measured_record

    track, pairs = look_up(store, file, match=run.settings.match())
    known = file_of(store, track)
    found = {
        **track_record(track, known.audio),
        **measured_record(known),
        "matches": [pair_record(pair) for pair in pairs],
    }
    run.output.result({"event": "file", **found})
    if run.output.as_json:
        return
    for line in _file_lines(track, found):
        run.output.text(line)
    run.output.text(f"  {'matches':20} {len(pairs):,}")
    for pair in pairs:
        match = pair.match
        numbers = f"score {match.score:.3f}, agreement {match.agreement:.3f}, {lag_text(match)}"
        told = ", ".join(filter(None, (numbers, ids_text(pair.a, pair.b), heard_text(pair))))
        run.output.text(f"    {pair.verdict}: {path_text(pair.b.path)} ({told})")


def _file_lines(track: Track, found: Mapping[str, Any]) -> list[str]:
    lines = [path_text(track.path), f"  {'state':20} {track.state}", f"  {'size':20} {track.size:,} bytes"]
    properties = dict(found["properties"])
    tags = properties.pop("tags", {})
    lines += [f"  {'damage':20} {found['damage']}"] if found["damage"] else []
    lines += [f"  {'channels cancel':20} yes"] if found["cancels"] else []
    lines += [f"  {name:20} {value}" for name, value in properties.items() if value]
    measured = found["measured"] or {}
    lines += [f"  {'bits in use':20} {used}"] if (used := measured.get("used_bits")) else []
    lines += [f"  {'finding':20} {each['what']}" for each in found["findings"]]
    lines += [f"  {'tag ' + name:20} {path_text(' · '.join(values).encode())}" for name, values in tags.items()]
    if track.problem:
        lines.append(f"  {track.problem_kind:20} {track.problem}")
    return lines
