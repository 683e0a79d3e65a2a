"""The hash of a file's encoded audio, read by machine code. It imports what it needs when it is called: the launcher
only names it."""

from __future__ import annotations

from dedup.files.container import heard_stream, leave_out_other_streams, open_container
from dedup.files.held import open_regular
from dedup.library.identity import StreamHasher


def stream_hash(path: bytes) -> bytes | None:
    """What `identity.stream_hash` gives of the whole file, in half of the time or less. Raises OSError for a file that
    cannot be opened."""
    import av

    from dedup.fingerprint.loop_state import Status
    from dedup.fingerprint.packets import Packets

    try:
        with open_container(path) as container:
            stream = heard_stream(container)
            if stream is None:
                return None
            leave_out_other_streams(container, stream)
            hasher = StreamHasher(stream)
            packets = Packets(container, stream, hasher, decodes=False)
            while (status := packets.advance()) != Status.ENDED:
                if status == Status.UNREADABLE:
                    packets.fail()
            packets.hash_stored()
    except (av.error.FFmpegError, UnicodeError):
        with open_regular(path):
            return None
    return hasher.digest() if hasher.n_bytes else None
