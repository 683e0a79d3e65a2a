"""A store on a network file system, as far as the table of mounts can say: two hosts never have it at once."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from dedup.errors import StoreLockedError
from dedup.files import mount_table
from dedup.files.mount_table import mount_of, mounts
from dedup.settings import FingerprintSettings
from dedup.store.store import make_or_open, open_for_reading, open_for_writing
from tests.stores import add_track, recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with make_or_open(tmp_path / "share" / "store", FingerprintSettings("1.5.1"), 4, "test") as store:
        add_track(store, "a.mp3", recording(1, 150))
    return tmp_path / "share" / "store"


def mount(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the table of mounts say that a folder is a mount of this type."""
    table = folder.parent.parent / "mountinfo"
    lines = [
        "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw",
        f"99 22 0:55 / {folder.parent} rw,relatime shared:2 master:3 - {kind} nas:/music rw,vers=4.2",
    ]
    table.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(mount_table, "MOUNTS", str(table))


def hold(folder: Path, host: str) -> None:
    """Leaves the text of a writer in the lock, without the lock: as one whose lock does not reach us."""
    holder = {"pid": 7, "host": host, "since": "2026-03-01 02:30:00", "purpose": "reprise full"}
    (folder / "lock").write_text(json.dumps(holder))


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_run_on_another_host_is_respected_although_its_lock_does_not_reach_us(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mount(folder, kind, monkeypatch)
    hold(folder, "attic")
    for opened in (open_for_reading(folder), open_for_writing(folder, "test")):
        with pytest.raises(StoreLockedError) as raised, opened:
            pass
        told = str(raised.value)
        assert f"on a network file system ({kind}), and in use by reprise full (pid 7 on attic, since 2026-" in told
        assert "keep the store on a local disk" in told
    assert "attic" in (folder / "lock").read_text(), "a refused run leaves it as it is"


@pytest.mark.parametrize(("kind", "host"), [("ext4", "attic"), ("nfs4", socket.gethostname())])
def test_a_run_that_was_killed_stops_nobody_on_a_local_disk_or_on_its_own_host(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, host: str
) -> None:
    mount(folder, kind, monkeypatch)
    hold(folder, host)
    with open_for_reading(folder) as store:
        assert len(list(store.catalog.tracks.all())) == 1
    with open_for_writing(folder, "test"):
        assert socket.gethostname() in (folder / "lock").read_text()
    assert (folder / "lock").read_bytes() == b""


def test_a_network_file_system_alone_is_no_obstacle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount(folder, "nfs4", monkeypatch)
    with open_for_writing(folder, "test") as store:
        assert len(list(store.catalog.tracks.all())) == 1


def test_the_type_of_every_mount_here_is_read() -> None:
    known = mounts()
    assert known and all(mount.kind for mount in known)
    found = mount_of(os.fsencode("/proc/self"), known)
    assert found is not None and found.kind == b"proc" and not found.is_network
