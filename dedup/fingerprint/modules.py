"""What a worker imports before it can look at a file and decode it."""

from __future__ import annotations

MODULES = ("av", "dedup.library.probe", "dedup.fingerprint.task", "dedup.fingerprint.machine_code", "blake3")
