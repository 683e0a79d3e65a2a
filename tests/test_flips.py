"""Single bits flipped at random in whole stores: a short run of `scripts/torture/flips.py`, and what a repair does
while more bits rot."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scripts.torture import flips
from tests.stores import repaired


@pytest.mark.parametrize("n_flips", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_no_flipped_bit_changes_anything_unseen(tmp_path: Path, n_flips: int) -> None:
    counts, bad = flips.run(tmp_path, seed=7, first=0, n_flips=n_flips, fast=True)
    assert sum(of_region.total() for of_region in counts.values()) == n_flips
    assert [line for line in bad if not line.startswith("only check")] == []
    assert sum(of_region["refused"] + of_region["found"] for of_region in counts.values()) > n_flips / 3


def test_the_script_sees_a_change_that_nothing_finds(tmp_path: Path) -> None:
    subject = flips.Subject("imported", flips.make_imported(tmp_path / "store"))
    subject.look()
    subject.expected["roots"] = "other ones"
    assert flips._outcome(subject, with_plan=False, with_dry_run=False) == ("UNSEEN", "roots")


def test_a_repair_while_bits_rot_ends_and_the_next_one_leaves_a_sound_store(tmp_path: Path) -> None:
    """Each repair is met by more flips in the catalog right before it. Once no more bits rot the store is sound."""
    folder = flips.make_imported(tmp_path / "store")
    chance = random.Random(3)
    for _ in range(6):
        data = bytearray((folder / "catalog.db").read_bytes())
        for _ in range(3):
            data[chance.randrange(4096, len(data))] ^= 1 << chance.randrange(8)
        (folder / "catalog.db").write_bytes(data)
        repaired(folder)
    repaired(folder)
    assert flips.damage_of(folder) == []
