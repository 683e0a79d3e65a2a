"""The folder that files go to when a plan lets them go."""

from __future__ import annotations

QUARANTINE = b".reprise-quarantine"
"""Folder in each root that quarantined files go to where the plan names no other. No scan looks into a folder of this
name."""
