"""What the stages did, as lines for people and as records for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from dedup.files.paths import named_path
from jobs.session.output import Output, count_text, path_text, time_text
from jobs.show.table import reclaimable_text

if TYPE_CHECKING:
    from dedup.confirm.run import Confirmed
    from dedup.correlation.correlate import Correlation, Unfinished
    from dedup.correlation.scoring import Verdict
    from dedup.groups.groups import Group
    from dedup.groups.mark import Asked
    from dedup.groups.matches import Matches
    from dedup.nulltest.run import Tested
    from dedup.pipeline import Full
    from dedup.plan.resolve import Resolved
    from dedup.scan.scan import Scan
    from dedup.upkeep.compact import Compaction

NAMED_IGNORED = 3
"""Most files ignored for one reason that are named; more of them, such as a library's covers, are only counted."""

SHOWN_PROBLEMS = 40
"""Most failed or skipped files that a summary lists; the log lists all of them, and so do --json and -v."""

# ---- a scan ----


def scan_record(summary: Scan) -> dict[str, Any]:
    """The counts of a scan, for programs."""
    record = {field.name: getattr(summary, field.name) for field in fields(summary) if field.name != "problems"}
    record["new"] = summary.fingerprinted + summary.identical - summary.moved - summary.changed
    return record | {"seconds": {stage: round(spent, 3) for stage, spent in summary.seconds.items()}}


def scan_text(summary: Scan) -> str:
    """The counts of a scan, for people: they add up."""
    parts = [
        f"{summary.unchanged:,} unchanged",
        f"{summary.fingerprinted:,} fingerprinted",
        f"{summary.identical:,} identical",
        f"{summary.skipped:,} skipped",
        f"{summary.failed:,} failed",
    ]
    if summary.left:
        parts.append(f"{summary.left:,} left for the next run")
    lines = [f"files   {summary.discovered:,} discovered = {' + '.join(parts)}"]
    asides = {
        "damaged (decoded with gaps)": summary.damaged,
        "moved": summary.moved,
        "changed": summary.changed,
        "absent (kept)": summary.absent,
        "back after being absent": summary.returned,
        "with their tags read again": summary.renewed,
        "heard at other pitches": summary.at_other_pitches,
        "forgotten (no longer there or selected)": summary.forgotten,
        "not audio by their names": summary.ignored,
        "failed or skipped as before (`--strict` lists them)": summary.known_problems,
    }
    told = [f"{n:,} {what}" for what, n in asides.items() if n]
    told += [f"{count_text(summary.unlisted, 'folder')} that cannot be read"] if summary.unlisted else []
    if told:
        lines.append(f"        {', '.join(told)}")
    return "\n".join(lines)


def empty_text(summary: Scan, roots: Sequence[bytes]) -> str | None:
    """What is said if the roots are there and hold no audio files."""
    if summary.discovered or summary.absent:
        return None
    return f"no audio files below {', '.join(map(path_text, roots))}"


def show_problems(output: Output, summary: Scan, strict: bool = True) -> None:
    """Shows every problem as an object with --json; for people the failed, damaged and skipped files, and the ignored
    ones by reason. What was told before is listed only if `strict`."""
    for problem in summary.problems:
        flags = {"folder": problem.is_folder, "before": problem.is_known}
        what = {"event": problem.kind, **named_path("path", problem.path), "reason": problem.reason}
        output.result(what | {name: True for name, is_so in flags.items() if is_so})
    for kind in ("failed", "damaged", "skipped"):
        found = [each for each in summary.problems if each.kind == kind and (strict or not each.is_known)]
        for problem in found[:SHOWN_PROBLEMS]:
            output.note(f"{kind}: {path_text(problem.path)}: {problem.reason}")
        if len(found) > SHOWN_PROBLEMS:
            output.note(f"{kind}: {len(found) - SHOWN_PROBLEMS:,} more, listed in the log and with --json")
    _show_ignored(output, summary)


def _show_ignored(output: Output, summary: Scan) -> None:
    ignored: dict[tuple[str, str], list[bytes]] = {}
    for problem in summary.problems:
        if problem.kind == "ignored":
            ignored.setdefault((problem.reason, "folder" if problem.is_folder else "file"), []).append(problem.path)
    for (reason, unit), paths in sorted(ignored.items()):
        if len(paths) <= NAMED_IGNORED:
            for path in paths:
                output.note(f"ignored: {path_text(path)}: {reason}")
        else:
            output.note(f"ignored: {count_text(len(paths), unit)}: {reason}")


# ---- comparing ----


def correlation_text(summary: Correlation) -> str:
    """The counts, for people: they add up."""
    parts = [f"{summary.n_reused:,} reused", f"{summary.n_computed:,} computed"]
    if summary.n_failed:
        parts.append(f"{summary.n_failed:,} failed")
    if summary.n_left:
        parts.append(f"{summary.n_left:,} left for the next run")
    compared = f" ({summary.n_pairs_compared:,} pairs compared)" if summary.n_pairs_compared else ""
    return f"tiles   {summary.n_tiles:,} = {' + '.join(parts)}{compared}"


def uncompared_text(missing: Unfinished) -> str:
    """What is not compared yet."""
    told = []
    if missing.n_missing:
        told.append(f"{missing.n_missing:,} of {missing.n_tiles:,} tiles are not computed yet")
    if missing.n_waiting:
        told.append(f"{missing.n_waiting:,} new fingerprints are not compared yet")
    return " and ".join(told) or "the noise floor is not measured yet"


# ---- groups ----


def groups_text(groups: Sequence[Group], shown: int | None = None) -> str:
    """One line: how many groups, files and bytes."""
    n_files = sum(len(group.members) for group in groups)
    n_bytes, n_unheard = reclaimable_bytes(groups)
    text = f"groups  {len(groups):,}, with {count_text(n_files, 'file')} besides the best copies; "
    text += reclaimable_text(n_bytes, n_unheard)
    if shown is not None and shown < len(groups):
        text += f" ({shown:,} shown)"
    return text


def reclaimable_bytes(groups: Sequence[Group]) -> tuple[int, int]:
    """Bytes that a plan would free, and those that it would free too once nobody has to listen any more."""
    return sum(group.bytes_reclaimable for group in groups), sum(group.bytes_unheard for group in groups)


def pairs_text(n_pairs: Counter[Verdict]) -> str:
    """One line: how many pairs of files match, and how many are related in other ways."""
    from dedup.correlation.scoring import BESIDE

    beside = "".join(f", {n_pairs[kind]:,} {kind}" for kind in BESIDE if n_pairs[kind])
    return f"pairs   {n_pairs['same recording']:,} of files that match{beside}"


def confirmed_text(confirmed: Confirmed) -> str:
    """One line: how many pairs were heard again."""
    text = f"again   {count_text(confirmed.n_heard, 'pair')} heard at other speeds and pitches"
    return f"{text}; {confirmed.n_left:,} left for the next run" if confirmed.n_left else text


def tested_text(tested: Tested) -> str:
    """One line: what the null tests of a run showed."""
    n_other = tested.n_tested - tested.n_copies - tested.n_mixes - tested.n_failed
    parts = [
        count_text(tested.n_copies, "copy", "copies"),
        count_text(tested.n_mixes, "other mix", "other mixes"),
        f"{n_other:,} {'differs' if n_other == 1 else 'differ'} in places",
    ]
    if tested.n_failed:
        parts.append(f"{tested.n_failed:,} could not be made")
    text = f"heard   {count_text(tested.n_tested, 'null test')} = {' + '.join(parts)}"
    return f"{text}; {tested.n_left:,} left for the next run" if tested.n_left else text


def thresholds_text(matches: Matches) -> str:
    """The thresholds, their basis, and the false pairs to expect."""
    from dedup.correlation.scoring import LESS_BY_SPEED, MAX_RATE

    limits = matches.thresholds
    basis = (
        f"{limits.noise.n_pairs:,} pairs of its own tracks"
        if limits.noise.n_pairs
        else "other music, as yours is too small"
    )
    if limits.classic is not None:
        share = limits.noise.share_agreeing(limits.classic)
        text = f"limits  raw agreement {limits.classic:g} alone decides, as in older programs; "
        if share is None:
            return text + "what that costs was not measured: it takes 25 tracks and a `reprise correlate`"
        return text + (
            f"{share:.2%} of unrelated pairs have as much: about {share * limits.n_pairs:,.0f} false pairs among the "
            f"{limits.n_pairs:,} of this library (those with a score below 0.2 are not kept, and not shown)"
        )
    expected = limits.noise.false_match(limits.related) * limits.n_pairs
    text = f"limits  more than chance from an evidence of {limits.related:.3f} on: {expected:.2g} false pairs expected "
    text += f"among {limits.n_pairs:,} (measured on {basis}); one recording from a score of {limits.same:.3f} on"
    text += (
        f" and a prominence of {limits.min_prominence:g}; for each percent of another speed, {MAX_RATE:.0%} at most, "
    )
    text += f"{LESS_BY_SPEED / 100:g} less"
    n_judged = len(matches.judgements.said)
    if matches.settings.min_score is None:
        return f"{text}; the score is just below the lowest that you approved in {count_text(n_judged, 'judgement')}"
    return f"{text}; {count_text(n_judged, 'judgement')} of yours" if n_judged else text


def asked_text(asked: Asked, again: str | None = None) -> str:
    """One line: how the questions were answered, and if some are open, that the command `again` asks them again."""
    text = f"asked   {asked.same:,} same, {asked.different:,} different, {asked.skipped:,} skipped, {asked.left:,} left"
    n_open = asked.skipped + asked.left
    return f"{text}; `{again}` asks again about {n_open:,}" if again and n_open else text


def resolved_text(resolved: Resolved) -> str:
    """How groups were answered, without its heading."""
    kept_all = f"{resolved.keep_all:,} keep all, " if resolved.keep_all else ""
    counts = f"{resolved.keep:,} kept, {kept_all}{resolved.different:,} not the same, {resolved.skip:,} skipped"
    return f"{counts}, {resolved.left:,} left"


# ---- housekeeping ----


def compaction_text(done: Compaction, dry_run: bool = False) -> str:
    """What a compaction did, or would do, for people."""
    blocks = count_text(done.blocks_before, "block")
    if not done.merged:
        kept = f"{done.kept_for_now:,}" if done.kept_for_now else "no"
        return f"compact nothing to do: {blocks}, {kept} retired fingerprints"
    retired = count_text(done.dropped, "retired fingerprint")
    if dry_run:
        return f"compact {blocks} would become {done.blocks_after:,}, {retired} would go"
    return f"compact {blocks} became {done.blocks_after:,}, {retired} dropped"


# ---- the main job ----


def stages_text(seconds: dict[str, float]) -> str:
    """Wall time of each stage."""
    return ", ".join(f"{stage} {time_text(spent)}" for stage, spent in seconds.items())


def unfinished_text(done: Full) -> str:
    """What a stop left for the next run; empty if there was none."""
    if not done.stopped:
        return ""
    told = [f"{count_text(done.scan.left, 'file')} not looked at yet"] if done.scan.left else []
    told += [uncompared_text(done.uncompared)] if done.uncompared else []
    if done.confirmed is not None and done.confirmed.n_left:
        told.append(f"{count_text(done.confirmed.n_left, 'pair')} not heard at other speeds yet")
    if done.tested is not None and done.tested.n_left:
        told.append(f"{count_text(done.tested.n_left, 'null test')} not made yet")
    return " and ".join(told) or "the last steps are left"


def news_text(done: Full) -> str:
    """How many copies are new, to follow `groups_text`; empty if all are, as in a first run."""
    n_copies = 0 if done.found is None else sum(len(group.members) for group in done.found.groups)
    if not done.news or not done.news.n_copies or done.news.n_copies == n_copies:
        return ""
    copies = "copy is" if done.news.n_copies == 1 else "copies are"
    return f"; {done.news.n_copies:,} {copies} new, in {count_text(done.news.n_groups, 'group')}"


def full_record(done: Full) -> dict[str, Any]:
    """The whole summary, for programs; null for whatever a stop prevented."""
    from dedup.correlation.scoring import BESIDE

    groups = None if done.found is None else done.found.groups
    n_bytes, n_unheard = (None, None) if groups is None else reclaimable_bytes(groups)
    return {
        **scan_record(done.scan),
        "found": None if done.news is None else {"copies": done.news.n_copies, "groups": done.news.n_groups},
        "unfinished": unfinished_text(done),
        "tiles": asdict(done.correlation) if done.correlation else None,
        "heard_again": asdict(done.confirmed) if done.confirmed else None,
        "null_tests": asdict(done.tested) if done.tested else None,
        "pairs": None if done.n_pairs is None else done.n_pairs["same recording"],
        "pairs_beside": None if done.n_pairs is None else {kind: done.n_pairs[kind] for kind in BESIDE},
        "groups": None if groups is None else len(groups),
        "bytes_reclaimable": n_bytes,
        "bytes_unheard": n_unheard,
        "compact": asdict(done.compaction) if done.compaction else None,
        "seconds": {stage: round(spent, 3) for stage, spent in done.seconds.items()},
    }
