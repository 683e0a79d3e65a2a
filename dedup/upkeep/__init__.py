"""Upkeep of a store: check, repair, compaction."""
