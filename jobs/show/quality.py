"""A library by formats, and the files that are not what they say, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dedup.files.paths import json_path
from dedup.quality.findings import CERTAIN, FindingKind
from dedup.quality.survey import BITRATES, KINDS
from jobs.session.output import Column, aligned, count_text, path_text, size_text

if TYPE_CHECKING:
    from dedup.quality.run import Measuring
    from dedup.quality.survey import Survey
    from jobs.session.lines import Look

TITLES: Mapping[FindingKind, tuple[str, str]] = {
    "padded": (
        "Fewer bits than stated",
        "The lowest bits are zero in every sample: the file was made from one with fewer bits, and takes more space "
        "for the same sound.",
    ),
    "upsampled": (
        "Upsampled",
        "A hint: the spectrum breaks off where that of a lower sample rate ends. Nothing is wrong with such a file, "
        "but a file at the lower rate may hold the same.",
    ),
    "transcode": (
        "Made from a lossy file",
        "A hint: the spectrum breaks off as after MP3 or AAC. Recordings of FM radio, cassettes and some samplers end "
        "in the same way.",
    ),
    "mono": ("Mono in stereo", "Left and right hold the same: a file with one channel would sound the same."),
}
"""A title and what it means, by kind of finding."""


def format_rows(found: Survey) -> list[tuple[str, int, int, float]]:
    """Format, files, bytes and hours, lossless formats first, most files first in each."""
    order = sorted(found.codecs.items(), key=lambda each: (not each[0][1], -each[1].n_files, each[0][0]))
    return [
        (f"{codec}, lossless" if lossless else codec, amount.n_files, amount.n_bytes, amount.seconds / 3600)
        for (codec, lossless), amount in order
    ]


def rate_rows(found: Survey) -> list[tuple[str, int]]:
    """Sample rate and files, highest first."""
    return [(f"{rate:,} Hz" if rate else "unknown", n) for rate, n in sorted(found.rates.items(), reverse=True)]


def bits_rows(found: Survey) -> list[tuple[str, int]]:
    """Bits and lossless files, most bits first."""
    return [(f"{bits} bits" if bits else "unknown", n) for bits, n in sorted(found.bits.items(), reverse=True)]


def bitrate_rows(found: Survey) -> list[tuple[str, int]]:
    """Class of bit rates and lossy files, highest first."""
    above = dict(zip((0, *BITRATES), BITRATES, strict=False))
    names = {
        least: f"below {above[least]} kbit/s"
        if not least
        else f"{least} kbit/s or more"
        if least not in above
        else f"{least} to {above[least] - 1} kbit/s"
        for least in (0, *BITRATES)
    }
    return [(names[least], n) for least, n in sorted(found.bitrates.items(), reverse=True)]


def measured_text(found: Survey) -> str:
    """How many lossless files were measured."""
    if not found.n_measurable:
        return "No lossless file is there to be measured."
    left = found.n_measurable - found.n_measured
    told = f"{found.n_measured:,} of {count_text(found.n_measurable, 'lossless file')} measured."
    return f"{told} `reprise quality --measure` measures the others." if left else told


def measuring_text(done: Measuring) -> str:
    """What came of measuring."""
    parts = [f"{done.n_measured:,} measured", f"{done.n_failed:,} failed" if done.n_failed else ""]
    parts.append(f"{done.n_left:,} left for the next run" if done.n_left else "")
    return f"files   {', '.join(filter(None, parts))}"


# ---- a terminal ----


def survey_texts(found: Survey, limit: int, look: Look) -> Iterator[str]:
    """Lines for people; of each kind of finding at most `limit` files."""
    yield from _table(("format", "files", "size", "hours"), format_rows(found), look)
    for heading, rows in (
        (("sample rate", "files"), rate_rows(found)),
        (("lossless files by bits", "files"), bits_rows(found)),
        (("lossy files by bit rate", "files"), bitrate_rows(found)),
    ):
        if rows:
            yield ""
            yield from _table(heading, rows, look)
    yield ""
    yield from look.wrapped(measured_text(found))
    for kind in KINDS:
        if n := found.n_found[kind]:
            title, meaning = TITLES[kind]
            yield ""
            yield look.styled(f"{title}: {count_text(n, 'file')}", "bold")
            yield from look.wrapped(f"  {meaning}", hanging=2)
            for each in found.found[kind][:limit]:
                yield from look.wrapped(f"  {path_text(each.path)}", hanging=4)
                if kind != "mono":
                    yield from look.wrapped(f"    {each.finding.what}", hanging=4)
            shown = len(found.found[kind][:limit])
            if shown < n:
                yield f"  and {n - shown:,} more"


def _table(heading: Iterable[str], rows: Iterable[Iterable[Any]], look: Look) -> list[str]:
    names = list(heading)
    columns = [Column(name, name, SHOWN.get(name)) for name in names]
    return aligned(columns, [dict(zip(names, row, strict=True)) for row in rows], look)


SHOWN: Mapping[str, Callable[[Any], str]] = {
    "files": lambda n: f"{n:,}",
    "size": size_text,
    "hours": lambda hours: f"{hours:,.1f}",
}
"""How the cells of columns are written."""


# ---- programs ----


def survey_record(found: Survey) -> dict[str, Any]:
    """The counts, for programs; sizes in bytes, lengths in seconds."""
    return {
        "formats": [
            {
                "codec": codec,
                "lossless": lossless,
                "files": amount.n_files,
                "bytes": amount.n_bytes,
                "seconds": round(amount.seconds, 3),
            }
            for (codec, lossless), amount in sorted(found.codecs.items())
        ],
        "sample_rates": {str(rate): n for rate, n in sorted(found.rates.items())},
        "lossless_bits": {str(bits): n for bits, n in sorted(found.bits.items())},
        "lossy_kbits": {str(least): n for least, n in sorted(found.bitrates.items())},
        "unusable": found.n_unusable,
        "measurable": found.n_measurable,
        "measured": found.n_measured,
        "found": {kind: found.n_found[kind] for kind in KINDS},
    }


def found_records(found: Survey) -> Iterator[dict[str, Any]]:
    """The findings, kind by kind, by path."""
    for kind in KINDS:
        for each in found.found[kind]:
            certain = kind in CERTAIN
            yield {**json_path(each.path), "kind": kind, "what": each.finding.what, "certain": certain}
