"""The folder that takes the files that a plan removes."""

from __future__ import annotations

QUARANTINE = b".reprise-quarantine"
"""Folder in each root that takes quarantined files unless the plan names another. No scan looks into a folder of this
name."""
