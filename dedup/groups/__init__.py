"""Pairs of files, what a person said of them, groups, and which copy is kept."""
