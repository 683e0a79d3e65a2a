"""Keys of one run: TLS among the processes of this machine, which nobody else on it can join.

They are made when the run begins, exist only in the memory of its processes, and are gone with them: they are handed to
a new process through the pipe that starts it, and to OpenSSL, which reads files only, through a pipe too. So they are
never in a file, an environment or a command line.

Importing this module imports Dask."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import Any

from distributed import Security

HOST = "reprise-run"
"""Name in the certificate. Nobody looks at it: holders of the key are those who were given it."""


class RunKeys(Security):  # type: ignore[misc]
    """Dask's `Security` with keys in memory, which admits nothing but TLS 1.3 with a certificate of this run. Dask's
    own code would write keys to temporary files."""

    def get_connection_args(self, role: str) -> dict[str, Any]:
        context = self._context(role, ssl.Purpose.SERVER_AUTH)
        return {"ssl_context": context, "require_encryption": True, "extra_conn_args": {}}

    def get_listen_args(self, role: str) -> dict[str, Any]:
        return {"ssl_context": self._context(role, ssl.Purpose.CLIENT_AUTH), "require_encryption": True}

    def _context(self, role: str, purpose: ssl.Purpose) -> ssl.SSLContext:
        own = self.get_tls_config_for_role(role)
        context = ssl.create_default_context(purpose, cadata=own["ca_file"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED  # on both sides
        with _through_pipe(own["cert"]) as certificate, _through_pipe(own["key"]) as key:
            context.load_cert_chain(certificate, key)
        return context


def make_run_keys() -> RunKeys:
    """New keys. Their authority's own key is dropped, so that it can never admit another."""
    from cluster.keys import make_pair

    authority, certificate, key = make_pair(HOST)
    by_role = {
        f"tls_{role}_{part}": text
        for role in ("client", "worker", "scheduler")
        for part, text in (("cert", certificate), ("key", key))
    }
    # The rest is said too: Dask would take it from the user's settings for other clusters.
    return RunKeys(
        require_encryption=True,
        tls_ca_file=authority,
        tls_ciphers=None,
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        tls_max_version=None,
        **by_role,
    )


@contextlib.contextmanager
def _through_pipe(text: str) -> Iterator[str]:
    """A path at which the text can be read once. It must be shorter than a pipe holds, 16 KiB."""
    reader, writer = os.pipe()
    try:
        with open(writer, "w", encoding="ascii") as file:
            file.write(text)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
