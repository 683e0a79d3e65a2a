"""The passphrase that lets people on the network in: kept as a hash, and asked for only so often."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections import deque
from pathlib import Path

from dedup.errors import UsageError, writing
from dedup.store.layout import private_opener

LEAST_CHARACTERS = 10
MOST_CHARACTERS = 1000
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 64 << 20}
"""Cost of one try: about 0.1 s and 32 MiB."""
MOST_TRIES, IN_SECONDS = 10, 60.0
"""Tries that are looked at in so many seconds, whoever makes them."""


def set_passphrase(path: Path, text: str) -> None:
    """Keeps the hash of a passphrase in the file at `path`, which only its owner can read. Raises UsageError for one
    that is too short, WriteError."""
    if not LEAST_CHARACTERS <= len(text) <= MOST_CHARACTERS:
        raise UsageError("the passphrase", f"has {len(text)} characters", f"{LEAST_CHARACTERS} to {MOST_CHARACTERS:,}")
    salt = secrets.token_bytes(16)
    document = json.dumps({"salt": salt.hex(), "hash": _hash(text, salt).hex()})
    part = path.with_name(path.name + ".part")
    with writing(str(path), "name another store with --store"):
        part.unlink(missing_ok=True)
        with open(part, "x", opener=private_opener) as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def _hash(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode(), salt=salt, **SCRYPT)


class Passphrase:
    """What is asked of a browser without the token."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError if there is no hash at `path`."""
        try:
            document = json.loads(path.read_bytes())
            self._salt, self._hash = bytes.fromhex(document["salt"]), bytes.fromhex(document["hash"])
        except FileNotFoundError:
            raise UsageError(
                "--host",
                "others on the network could reach the page, and no passphrase is set",
                remedy="Run `reprise serve --set-passphrase` first",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                str(path), "cannot be read as a passphrase", remedy="Run `reprise serve --set-passphrase` again"
            ) from error
        self._tries: deque[float] = deque(maxlen=MOST_TRIES)
        self._lock = threading.Lock()

    def may_try(self) -> bool:
        """Whether another try is looked at now; counts it if so."""
        now = time.monotonic()
        with self._lock:
            if len(self._tries) == MOST_TRIES and now - self._tries[0] < IN_SECONDS:
                return False
            self._tries.append(now)
            return True

    def is_right(self, text: str) -> bool:
        """Whether it is the passphrase. One try at a time, so that tries take no more memory than one."""
        if len(text) > MOST_CHARACTERS:
            return False
        with self._lock:
            return hmac.compare_digest(_hash(text, self._salt), self._hash)
