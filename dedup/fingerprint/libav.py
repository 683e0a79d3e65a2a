"""FFmpeg behind PyAV: its functions, and its structures, as machine code reaches them.

PyAV's objects hold a pointer to a structure of FFmpeg, which Python cannot see. It is the first field that their
classes declare in the `.pxd` files that PyAV installs for others to compile against. The fields of FFmpeg's structures
stay where they are as long as the library keeps its major version."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

MAJOR_VERSIONS = {"libavutil": 60, "libavcodec": 62, "libavformat": 62}
"""The libraries whose structures these are: FFmpeg 8."""

END_OF_FILE = -int.from_bytes(b"EOF ", "little")
INVALID_DATA = -int.from_bytes(b"INDA", "little")
"""Error numbers of FFmpeg (libavutil/error.h)."""


_S16P, _NATIVE = 6, 1
"""FFmpeg's numbers of planar samples of 16 bits, and of layouts that are a mask."""


class PacketField:
    """Bytes from the beginning of an AVPacket (libavcodec/packet.h)."""

    DATA, SIZE, STREAM = 24, 32, 36


class FrameField:
    """Bytes from the beginning of an AVFrame (libavutil/frame.h). A layout is its order and its number of channels,
    `int32` each, and then a mask, `uint64`."""

    PLANES, SAMPLES, FORMAT, RATE, LAYOUT = 96, 112, 116, 180, 384


@functools.cache
def address(function: str) -> int:
    """Where a function of FFmpeg is. Raises ImportError if PyAV or FFmpeg are not the known ones."""
    return ctypes.cast(getattr(_library(), function), ctypes.c_void_p).value or 0


def pointer(of: Any) -> int:
    """The structure behind a container, a codec context, a packet or a frame of PyAV."""
    behind_head_and_methods = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    return ctypes.c_void_p.from_address(id(of) + behind_head_and_methods).value or 0


def form(frame: Any) -> tuple[int, int, int, int]:
    """Format, rate and layout of the content of a frame, by FFmpeg's numbers; the layout is two of 64 bits."""
    at = pointer(frame)
    form, rate = (ctypes.c_int32.from_address(at + field).value for field in (FrameField.FORMAT, FrameField.RATE))
    return form, rate, *(ctypes.c_int64 * 2).from_address(at + FrameField.LAYOUT)


def packet_size(packet: Any) -> int:
    """Bytes of the content of a packet."""
    return ctypes.c_int32.from_address(pointer(packet) + PacketField.SIZE).value


def moved(frame: Any) -> Any:
    """A frame with the content of `frame`, which is empty afterwards. Its format and layout are those of the content:
    PyAV sets these only once, and `frame` may have been filled since."""
    import av

    library, source = _library(), pointer(frame)
    name, text = library.av_get_sample_fmt_name, ctypes.create_string_buffer(256)
    name.restype = ctypes.c_char_p
    form = ctypes.c_int32.from_address(source + FrameField.FORMAT)
    library.av_channel_layout_describe(ctypes.c_void_p(source + FrameField.LAYOUT), text, ctypes.c_size_t(len(text)))
    new = av.AudioFrame(name(form).decode(), text.value.decode())
    library.av_frame_unref(ctypes.c_void_p(pointer(new)))
    library.av_frame_move_ref(ctypes.c_void_p(pointer(new)), ctypes.c_void_p(source))
    return new


@functools.cache
def _library() -> ctypes.CDLL:
    """What PyAV's module for containers is linked to, which are all of these libraries."""
    import av.container.core

    _require_known()
    return ctypes.CDLL(av.container.core.__file__)


def _require_known() -> None:
    """Raises ImportError unless structures that PyAV fills read here as they should."""
    import av

    packet, frame = av.Packet(77), av.AudioFrame("s16p", "stereo", 33)
    frame.sample_rate = 44_100
    found = {name: av.library_versions[name][0] for name in MAJOR_VERSIONS}
    planes = ctypes.c_void_p.from_address(pointer(frame) + FrameField.PLANES).value or 0
    if (
        found != MAJOR_VERSIONS
        or ctypes.c_void_p.from_address(pointer(packet) + PacketField.DATA).value != packet.buffer_ptr
        or packet_size(packet) != 77
        or form(frame) != (_S16P, 44_100, _NATIVE | 2 << 32, 0b11)
        or ctypes.c_int32.from_address(pointer(frame) + FrameField.SAMPLES).value != 33
        or [*(ctypes.c_int64 * 2).from_address(planes)] != [plane.buffer_ptr for plane in frame.planes]
    ):
        versions = " and ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in found)
        raise ImportError(f"PyAV {av.__version__} with {versions} is not known here; install the locked version of av")
