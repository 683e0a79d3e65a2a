"""Imports while the launcher waits for its workers."""

from __future__ import annotations

import importlib
import threading


def load_ahead(module: str) -> None:
    """Imports a module in the background, for a caller that needs it after having waited for something else."""
    threading.Thread(target=importlib.import_module, args=(module,), daemon=True).start()
