"""Carrying out a plan so that it can be taken back: checks, a journal written ahead, steps, undo."""
