"""What Python and the loop over packets tell each other (`packet_loop`)."""

from __future__ import annotations

import ctypes
from enum import IntEnum


class Status(IntEnum):
    """Why the loop came back."""

    ENDED = 0
    """All packets are read, and all frames are taken."""
    FULL = 1
    """There is no room for the bytes of the next packet, or enough of them to be hashed."""
    FRAME = 2
    """The frame is to be looked at, or there is no room for its samples."""
    OTHER_FRAME = 3
    """The frame has another format than is mixed."""
    UNREADABLE = 4
    """A packet could not be read."""
    UNDECODABLE = 5
    """A packet could not be decoded."""


class Phase(IntEnum):
    """What the loop does first when it is called."""

    READ = 0
    STORE = 1
    RECEIVE = 2
    MIX = 3


FIELDS = (
    # Structures of FFmpeg, and the number of the stream that is decoded.
    *("container", "context", "packet", "frame", "stream"),
    # Functions: FFmpeg's, `memcpy`, and one of `decimation` that mixes frames.
    *("read", "send", "receive", "unref", "copy", "mix"),
    # `decodes` is 0 if packets are only to be hashed; the frames are those of the packet that was sent last.
    *("phase", "status", "error", "decodes", "is_at_end", "n_frames"),
    # Bytes of packets, how many there are, how many fit, and where those of the last packet begin.
    *("bytes", "n_bytes", "capacity", "last"),
    # Where the next mixed sample goes, `float`; how many samples were mixed, and how many more fit.
    *("mono", "n_mixed", "room"),
    # What is mixed: FFmpeg's numbers of format and rate, and a layout in two parts.
    *("format", "rate", "layout", "mask"),
    # Samples of the frame, and those until one is to be looked at.
    *("n_samples", "to_look"),
)
"""What the state consists of, `int64` each; addresses too."""


class State(ctypes.Structure):
    """The state of a loop, which machine code has the address of."""

    _fields_ = tuple((name, ctypes.c_int64) for name in FIELDS)
