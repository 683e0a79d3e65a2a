#!/usr/bin/env python3
"""Makes the pictures of README.md and docs/ from real runs, and says which lines of their sample runs no longer hold.

    ./.venv/bin/python scripts/pictures.py

Runs `demo`, `plan`, `apply`, `undo`, `pair --plot` and `report --format html` in a temporary folder, which the pictures
call ~/demo. Needs the extra `plot` and Chromium, for the page. Exits 1 if a line of a sample has changed, or a picture
is larger than MAX_BYTES."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
SAMPLES = ("README.md", "docs/cleaning-up.md")
"""Pages whose blocks of code that begin with a prompt are real runs."""

MAX_BYTES = 150_000
GROUPS_SHOWN = 3
WIDTH = 1100
"""Pixels."""

PAIR = ("Harbour Lights/Low Tide/03 Broken River.flac", "Downloads/Broken River [rip].flac")


def main() -> int:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        outputs = Runs(Path(scratch)).draw()
    (PICTURES / "flow.svg").write_text(flow(), encoding="utf-8")
    changed = list(changed_lines(outputs))
    for page, line in changed:
        print(f"{page}: not in a real run any more: {line}")
    large = [picture for picture in sorted(PICTURES.iterdir()) if picture.stat().st_size > MAX_BYTES]
    for picture in large:
        print(f"{picture.name}: {picture.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
    return 1 if changed or large else 0


class Runs:
    """The demo's library and store in a folder, and commands on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.demo = folder, folder / "demo"

    def draw(self) -> str:
        """Makes the pictures; the text that all commands printed."""
        demo = self.reprise("demo", "--out", str(self.demo), store=False)
        (PICTURES / "demo.svg").write_text(terminal("reprise demo", shortened(demo)), encoding="utf-8")
        plot, page = self.folder / "pair.png", self.folder / "report.html"
        self.reprise("pair", *(str(self.demo / "library" / name) for name in PAIR), "--plot", str(plot))
        shrink(plot, PICTURES / "pair.png")
        page.write_text(self.reprise("report", "--format", "html"), encoding="utf-8")
        shrink(photograph(page), PICTURES / "report.png")
        plan = str(self.folder / "plan.json")
        said = [demo]
        for options in ([], ["--remove-empty-folders"]):
            Path(plan).unlink(missing_ok=True)
            said += [self.reprise("plan", "-o", plan, *options), self.reprise("apply", plan), self.reprise("undo")]
        return "\n".join(said)

    def reprise(self, *arguments: str, store: bool = True) -> str:
        """Stdout of a command, with the folder called by its other name."""
        where = ["--store", str(self.demo / "store")] if store else []
        command = [sys.executable, "-m", "jobs", *arguments, *where]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.replace(str(self.folder), "~")


def shortened(output: str) -> str:
    """The first groups of the demo's output, and the lines that sum up."""
    blocks = output.rstrip().split("\n\n")
    groups = blocks[1:-1]
    ends = [
        line for line in blocks[-1].splitlines() if line.split()[0] in ("files", "tiles", "pairs", "groups", "truth")
    ]
    left = f"… {len(groups) - GROUPS_SHOWN} more groups …"
    return "\n\n".join([blocks[0], *groups[:GROUPS_SHOWN], left, "\n".join(ends)])


def terminal(title: str, text: str) -> str:
    """An SVG of a terminal that shows the text. It loads no font from anywhere."""
    import io

    from rich.console import CONSOLE_SVG_FORMAT, Console
    from rich.text import Text

    lines = text.splitlines()
    console = Console(record=True, width=max(map(len, lines)) + 1, file=io.StringIO())
    for line in lines:
        bold = line.startswith("best") or "reclaimable," in line
        console.print(Text(line, style="bold" if bold else ""), soft_wrap=True)
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    drawn = console.export_svg(
        title=title, code_format=form.replace("Fira Code, monospace", "monospace"), unique_id="demo"
    )
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


def photograph(page: Path) -> Path:
    """A picture of the top of a page, as a browser shows it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("pictures.py: there is no Chromium. Install it: apt-get install chromium")
    picture = page.with_suffix(".png")
    options = ["--no-sandbox", "--headless", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},860"]
    command = [chromium, *options, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HOME": str(page.parent)})
    return picture


def shrink(picture: Path, into: Path) -> None:
    """At most WIDTH pixels wide, in 160 colours."""
    from PIL import Image

    with Image.open(picture) as image:
        plain = image.convert("RGB")
        if plain.width > WIDTH:
            plain = plain.resize((WIDTH, plain.height * WIDTH // plain.width), Image.Resampling.LANCZOS)
        plain.quantize(160, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(into, optimize=True)


def changed_lines(outputs: str) -> Iterator[tuple[str, str]]:
    """Lines of sample runs that the outputs do not hold, each with its page. Space between words does not count, nor
    does where the library lies."""
    known = {words(line) for line in outputs.splitlines()}
    for page in SAMPLES:
        for block in re.findall(
            r"^```\n(\$ .*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            for line in block.splitlines():
                said = words(line)
                if said and said[0] not in "$…" and said not in known and not said.startswith("Paths are below"):
                    yield page, said


def words(line: str) -> str:
    """Paths of plans stand for one another: a sample has a name of its own."""
    return re.sub(r"(written|replaced): \S+;", "written: plan.json;", " ".join(line.split())).replace(
        "clean-up 2", "clean-up 1"
    )


BOXES = (
    ("reprise full", ("finds copies,", "changes no file")),
    ("reprise plan", ("proposes what", "goes, and why")),
    ("plan.json", ("a file for you", "to read and edit")),
    ("reprise apply", ("checks each file", "once more, acts")),
    ("quarantine", ("and a journal", "of every step")),
)
BOX_WIDTH, BOX_HEIGHT, GAP = 150, 84, 40


def flow() -> str:
    """The diagram of full → plan → apply → undo."""
    step = BOX_WIDTH + GAP
    width, top = len(BOXES) * step - GAP + 40, 20
    middle, below = top + BOX_HEIGHT / 2, top + BOX_HEIGHT
    parts = []
    for at, (name, lines) in enumerate(BOXES):
        left = 20 + at * step
        kind = "command" if name.startswith("reprise") else "thing"
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
            f'<text class="name" x="{left + BOX_WIDTH / 2}" y="{top + 28}">{name}</text>'
            + "".join(
                f'<text x="{left + BOX_WIDTH / 2}" y="{top + 50 + 18 * row}">{line}</text>'
                for row, line in enumerate(lines)
            )
        )
        if at:
            parts.append(f'<path class="arrow" d="M{left - GAP + 3} {middle}H{left - 5}"/>')
    first, last = 20 + BOX_WIDTH / 2, 20 + (len(BOXES) - 0.5) * step - GAP / 2
    parts.append(
        f'<path class="arrow" d="M{last} {below + 3}V{below + 40}H{first}V{below + 6}"/>'
        f'<text class="name" x="{width / 2}" y="{below + 32}">reprise undo</text>'
        f'<text x="{width / 2}" y="{below + 60}">puts every file, tag, cover, playlist and folder back</text>'
    )
    return _FLOW.format(width=width, height=below + 80, parts="\n".join(parts))


_FLOW = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" role="img"
width="{width}" height="{height:.0f}" aria-label="full, plan, apply, undo">
<style>
text {{ font: 14px sans-serif; text-anchor: middle; fill: #333a40 }}
.name {{ font-weight: bold; fill: #1f5a8c }}
.command {{ fill: #e8f0f7; stroke: #1f5a8c; stroke-width: 1.5 }}
.thing {{ fill: #fff; stroke: #6b7075; stroke-width: 1.5; stroke-dasharray: 5 3 }}
.arrow {{ fill: none; stroke: #1f5a8c; stroke-width: 2; marker-end: url(#head) }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0 0L8 4L0 8z" fill="#1f5a8c"/></marker></defs>
<rect width="100%" height="100%" rx="10" fill="#fff"/>
{parts}
</svg>
"""


if __name__ == "__main__":
    sys.exit(main())
