"""Which groups of the list a person wants to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple
from urllib.parse import urlencode

from jobs.serve.handling import number_in
from jobs.serve.shown import Listed, Row


@dataclass(frozen=True)
class Filter:
    """What a group must have to be shown; what is empty is not asked for."""

    text: str = ""
    """Words that must all be in a path or a title, in any case."""
    folder: str = ""
    format: str = ""
    verdict: str = ""
    rule: str = ""
    stays: str = ""
    """Reason for which a file stays."""
    said: str = ""
    """"open" for groups without an answer, "said" for the others."""
    page: int = 1

    @staticmethod
    def from_query(query: Mapping[str, str]) -> Filter:
        """The filter of an address; a page that is no number is the first."""
        texts = {each.name: query.get(each.name, "").strip()[:500] for each in fields(Filter) if each.name != "page"}
        return Filter(**texts, page=number_in(query.get("page", ""), 8) or 1)

    def query(self, **changes: str | int) -> str:
        """The query of the address that has this filter, with some values changed."""
        return urlencode({name: value for name, value in asdict(replace(self, **changes)).items() if value})  # type: ignore[arg-type]

    def lets_through(self, row: Row) -> bool:
        return (
            all(word in row.text for word in self.text.lower().split())
            and (not self.folder or _is_below(row.folder, self.folder))
            and (not self.format or self.format in row.formats)
            and (not self.verdict or self.verdict in row.verdicts)
            and (not self.rule or self.rule in row.rules)
            and (not self.stays or self.stays in row.stays)
            and (not self.said or (self.said == "said") == bool(row.said))
        )


def _is_below(folder: str, above: str) -> bool:
    return (folder + "/").startswith(above.rstrip("/") + "/")


class Page(NamedTuple):
    """A part of the groups that a filter leaves."""

    rows: Sequence[Row]
    number: int
    n_pages: int
    n_groups: int
    """Groups that the filter leaves."""
    n_all: int
    n_bytes: int
    """Reclaimable bytes of the groups that the filter leaves."""
    choices: Mapping[str, Sequence[str]]
    """Values that occur, most frequent first, by the filter's field."""


def page_of(listed: Listed, asked: Filter, per_page: int) -> Page:
    """The page that a filter asks for, or the last if there are fewer."""
    left = [row for row in listed.rows if asked.lets_through(row)]
    n_pages = max(1, -(-len(left) // per_page))
    number = min(asked.page, n_pages)
    return Page(
        rows=left[(number - 1) * per_page : number * per_page],
        number=number,
        n_pages=n_pages,
        n_groups=len(left),
        n_all=len(listed.rows),
        n_bytes=sum(row.n_bytes for row in left),
        choices=listed.choices,
    )
