"""The packets of a file, hashed, decoded and mixed to mono by machine code (`packet_loop`)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from dedup.fingerprint import libav
from dedup.fingerprint.loop_state import Phase, State, Status

if TYPE_CHECKING:
    from av.container import InputContainer

    from dedup.library.identity import StreamHasher

LOOK_EVERY = 1 << 16
"""Samples of the source that are mixed before Python looks at a frame and passes them on, 1.5 s at 44,100 Hz. Each time
has a price."""

_STORED_BYTES = 128 * 1024
"""Room for packets; more is made for one that does not fit."""

_NO_FORMAT = -2
"""What no frame has."""


class Packets:
    """Reads and decodes a stream up to where Python is needed. What is read is hashed by `hasher`."""

    def __init__(self, container: InputContainer, stream: Any, hasher: StreamHasher, decodes: bool = True) -> None:
        """Opens the decoder, except if nothing is to be decoded. Raises FFmpegError."""
        import av

        from dedup.fingerprint import machine_code

        if decodes:
            stream.codec_context.open(strict=False)
        self._hasher = hasher
        self._loop = machine_code.functions()["packets"]
        self._packet, self._frame = av.Packet(), av.AudioFrame()
        self._form = libav.form(self._frame)
        self._used = container, stream.codec_context
        """What the state points to must stay."""
        self._state = State(
            container=libav.pointer(container),
            context=libav.pointer(stream.codec_context),
            packet=libav.pointer(self._packet),
            frame=libav.pointer(self._frame),
            stream=stream.index,
            read=libav.address("av_read_frame"),
            send=libav.address("avcodec_send_packet"),
            receive=libav.address("avcodec_receive_frame"),
            unref=libav.address("av_packet_unref"),
            copy=ctypes.cast(ctypes.memmove, ctypes.c_void_p).value,
            decodes=decodes,
        )
        self._make_room(_STORED_BYTES)
        self.mix_none()

    def advance(self) -> Status:
        """Goes on to what Python is needed for; without anything to do after `FULL`, to look at the clock."""
        state = self._state
        self._loop(ctypes.addressof(state))
        if state.status == Status.FULL:
            self.hash_stored()
            self._make_room(libav.packet_size(self._packet))
        return Status(state.status)

    def hash_stored(self) -> None:
        """Hashes what is not yet hashed: at the end, or before there is no room."""
        state = self._state
        if state.n_bytes:
            self._hasher.take(self._stored[: state.n_bytes].data, state.last)
            state.n_bytes = 0

    def _make_room(self, size: int) -> None:
        if size > self._state.capacity:
            self._stored = np.empty(size, np.uint8)
            self._state.bytes, self._state.capacity = self._stored.ctypes.data, size

    def only_hash(self) -> None:
        """Decodes no further packet."""
        self._state.decodes = 0

    def fail(self) -> None:
        """Raises FFmpegError for what happened to the packet."""
        from av.error import err_check

        err_check(self._state.error)

    def frame(self) -> Any:
        """The frame that Python is to look at. It stays what it is until `advance`."""
        if self._state.status == Status.OTHER_FRAME and self._form != (form := libav.form(self._frame)):
            self._frame, self._form = libav.moved(self._frame), form
            self._state.frame = libav.pointer(self._frame)
        return self._frame

    def is_to_be_looked_at(self) -> bool:
        """Whether the frame is one of those from all over the track, one in `LOOK_EVERY` samples."""
        is_due = bool(self._state.to_look < 0)
        self._state.to_look += LOOK_EVERY * is_due
        return is_due

    def mixed(self) -> int:
        """How many samples were mixed since this was asked last."""
        n_mixed, self._state.n_mixed = self._state.n_mixed, 0
        return int(n_mixed)

    def mix(self, function: int, mono: int, room: int) -> None:
        """This frame, and those of its format that follow, are mixed by the function at that address: to `mono`, where
        there is room for so many samples, and for this frame."""
        state = self._state
        state.mix, state.mono, state.room = function, mono, room
        state.format, state.rate, state.layout, state.mask = self._form
        state.phase = Phase.MIX

    def mix_none(self) -> None:
        """From now on Python gets each frame."""
        self._state.format = _NO_FORMAT
