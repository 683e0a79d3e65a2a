"""Carries out a plan so that it can be undone: checks, a journal written ahead, steps, undo."""
