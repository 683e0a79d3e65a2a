"""The version of the store's format, and the upgrades from older versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dedup.errors import StoreMismatchError

if TYPE_CHECKING:
    from dedup.store.catalog import Catalog

FORMAT_VERSION = 6


def _add_what_decoding_showed(catalog: Catalog) -> None:
    """From version 1: audio gets what decoding shows, unknown so far, and null tests get a table."""
    catalog.audios.add_decoded_columns()
    catalog.nulltests.create()


def _add_digests(catalog: Catalog) -> None:
    """From version 2: each row gets the digest of what it says. A tile or null test that does not match the digest of
    that version stays without one, so that `check` finds it. Comparisons of pairs that a person called the same get a
    table, and streams an index."""
    damaged = [(table, list(table.unlike_older_digest())) for table in (catalog.results, catalog.nulltests)]
    later = {"comparison", "pitches", "lookup", "naming", "measurement", "backed_up"}
    for table in catalog.sealed_tables:
        if table.name not in later:
            table.add_digests()
    for other, keys in damaged:
        other.drop_older_digest()
        other.unseal(keys)
    catalog.comparisons.create()
    catalog.audios.index_streams()


def _add_pitches(catalog: Catalog) -> None:
    """From version 3: fingerprints at other pitches get a table."""
    catalog.pitches.create()


def _add_lookups(catalog: Catalog) -> None:
    """From version 4: what services on the net answered gets a table."""
    catalog.lookups.create()


def _add_what_is_beside(catalog: Catalog) -> None:
    """From version 5: what people said about which recording a sound is, what was measured of lossless audio, and what
    back-ups have taken get tables."""
    catalog.namings.create()
    catalog.measurements.create()
    catalog.backups.create()


UPGRADES: dict[int, Callable[[Catalog], None]] = {
    1: _add_what_decoding_showed,
    2: _add_digests,
    3: _add_pitches,
    4: _add_lookups,
    5: _add_what_is_beside,
}
"""Functions by format version: each upgrades a catalog of that version to the next, in a transaction that also raises
the version."""


def require_version(where: str, version: Any, writable: bool) -> None:
    """Raises StoreMismatchError for a store of another format version, unless it is `writable` and can be upgraded."""
    if is_ours(version) or (writable and is_older(version)):
        return
    remedy = "Run `reprise correlate` once: it upgrades the store" if is_older(version) else USE_ANOTHER
    raise other_version(where, version, remedy)


USE_ANOTHER = "Use the release that made it, or name another store with --store"


def is_ours(version: Any) -> bool:
    return type(version) is int and version == FORMAT_VERSION


def is_older(version: Any) -> bool:
    """Whether there is an upgrade from that version, and from each later one, up to ours."""
    return type(version) is int and version < FORMAT_VERSION and UPGRADES.keys() >= set(range(version, FORMAT_VERSION))


def other_version(where: str, version: Any, remedy: str = USE_ANOTHER) -> StoreMismatchError:
    """The error for a store whose format version cannot be used."""
    return StoreMismatchError(where, f"format version {version}", f"version {FORMAT_VERSION}", remedy)


def upgrade(catalog: Catalog, version: int) -> None:
    """Upgrades a catalog by one version, in one transaction."""
    with catalog.transaction():
        UPGRADES[version](catalog)
        catalog.meta.set_version(version + 1)
