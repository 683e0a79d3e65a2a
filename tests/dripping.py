"""A server whose answers never end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

DRIPS = [b"HTTP/1.1 200 OK\r\nX-a: ", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{"]
"""How an answer begins that never ends, in its head or in its body."""


@contextlib.contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """A server that sends this, and then a byte now and then for ever."""
    is_over = threading.Event()
    connections: list[socket.socket] = []

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(head)
            while not is_over.wait(0.05):
                connection.sendall(b" ")

    def serve(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not is_over.is_set():
                connections.append(listening.accept()[0])
                threading.Thread(target=drip, args=(connections[-1],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            is_over.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
