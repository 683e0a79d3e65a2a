"""The loop over the packets of a file and the frames of its decoder, as LLVM instructions. What it does of itself costs
no object of Python; it comes back to Python once in a second and a half of sound."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from dedup.correlation.emit import I32, I64
from dedup.fingerprint.libav import END_OF_FILE, INVALID_DATA, FrameField, PacketField
from dedup.fingerprint.loop_state import FIELDS, Phase, Status

POINTER = ir.IntType(8).as_pointer()
VOID = ir.VoidType()

HASHED_AT_A_TIME = 64 * 1024
"""Bytes of packets that are hashed together."""

_INDEX = {name: index for index, name in enumerate(FIELDS)}
_DONE = (-errno.EAGAIN, END_OF_FILE)
"""What a decoder says that has no more frames for now, or none at all."""


def add_packet_loop(made: ir.Module) -> None:
    """`void packets(state)`: goes on with what `state.phase` says until Python is needed for what `state.status` says;
    for errors, `state.error` is FFmpeg's number.

    A packet of the stream is stored and sent to the decoder. Each frame that comes back is mixed behind the others."""
    function = ir.Function(made, ir.FunctionType(VOID, [I64.as_pointer()]), "packets")
    _PacketLoop(function).emit()


class _PacketLoop:
    def __init__(self, function: ir.Function) -> None:
        self.state = function.args[0]
        names = ("entry", "next", "read", "flush", "check", "store", "send", "receive", "take", "mix")
        self.blocks = {name: function.append_basic_block(name) for name in names}
        self.b = ir.IRBuilder(self.blocks["entry"])

    def emit(self) -> None:
        b = self.b
        begin = b.switch(self._get("phase"), self.blocks["next"])
        begin.add_case(I64(Phase.STORE), self.blocks["store"])
        begin.add_case(I64(Phase.RECEIVE), self.blocks["receive"])
        begin.add_case(I64(Phase.MIX), self.blocks["mix"])
        for name, emit in {
            "next": self._next,
            "read": self._read,
            "flush": self._flush,
            "check": self._check,
            "store": self._store,
            "send": self._send,
            "receive": self._receive,
            "take": self._take,
            "mix": self._mix,
        }.items():
            b.position_at_end(self.blocks[name])
            emit()

    def _next(self) -> None:
        with self.b.if_then(self._is("is_at_end")):
            self._come_back(Status.ENDED)
        self.b.branch(self.blocks["read"])

    def _read(self) -> None:
        b = self.b
        code = self._call("read", I32, "container", "packet")
        with b.if_then(b.icmp_signed("==", code, I32(END_OF_FILE))):
            b.branch(self.blocks["flush"])
        with b.if_then(b.icmp_signed("<", code, I32(0))):
            self._come_back(Status.UNREADABLE, Phase.READ, code)
        b.branch(self.blocks["check"])

    def _flush(self) -> None:
        """What the decoder holds back."""
        b = self.b
        self._set("is_at_end", I64(1))
        with b.if_then(b.not_(self._is("decodes"))):
            self._come_back(Status.ENDED)
        self._send_to_decoder(I64(0))

    def _check(self) -> None:
        b = self.b
        stream = self._field("packet", PacketField.STREAM, I32)
        is_ours = b.icmp_signed("==", stream, self._get("stream"))
        with b.if_then(b.not_(is_ours)):
            self._let_go()
            b.branch(self.blocks["read"])
        b.branch(self.blocks["store"])

    def _store(self) -> None:
        b = self.b
        size, n = self._field("packet", PacketField.SIZE, I32), self._get("n_bytes")
        with b.if_then(b.icmp_signed(">", size, I64(0))):
            end = b.add(n, size)
            is_enough = b.icmp_signed(">=", n, I64(HASHED_AT_A_TIME))
            with b.if_then(b.or_(is_enough, b.icmp_signed(">", end, self._get("capacity")))):
                self._come_back(Status.FULL, Phase.STORE)
            data = self._field("packet", PacketField.DATA, I64)
            self._call("copy", POINTER, b.add(self._get("bytes"), n), data, size)
            self._set("last", n)
            self._set("n_bytes", end)
        b.branch(self.blocks["send"])

    def _send(self) -> None:
        with self.b.if_then(self.b.not_(self._is("decodes"))):
            self._let_go()
            self.b.branch(self.blocks["read"])
        self._send_to_decoder(self._get("packet"), self._let_go)

    def _send_to_decoder(self, packet: Any, afterwards: Callable[[], None] = lambda: None) -> None:
        b = self.b
        code = self._call("send", I32, "context", packet)
        afterwards()
        with b.if_then(b.icmp_signed("<", code, I32(0))):
            self._come_back(Status.UNDECODABLE, Phase.READ, code)
        self._set("n_frames", I64(0))
        b.branch(self.blocks["receive"])

    def _receive(self) -> None:
        """If frames of a packet came out before what is invalid in it, it is not told, as PyAV does not."""
        b = self.b
        code = self._call("receive", I32, "context", "frame")
        n_frames = self._get("n_frames")
        with b.if_then(b.icmp_signed("<", code, I32(0))):
            is_done = b.and_(b.icmp_signed(">", n_frames, I64(0)), b.icmp_signed("==", code, I32(INVALID_DATA)))
            for reason in _DONE:
                is_done = b.or_(is_done, b.icmp_signed("==", code, I32(reason)))
            with b.if_then(is_done):
                b.branch(self.blocks["next"])
            self._come_back(Status.UNDECODABLE, Phase.READ, code)
        self._set("n_frames", b.add(n_frames, I64(1)))
        b.branch(self.blocks["take"])

    def _take(self) -> None:
        b = self.b
        n = self._field("frame", FrameField.SAMPLES, I32)
        self._set("n_samples", n)
        to_look = b.sub(self._get("to_look"), n)
        self._set("to_look", to_look)
        for name, at, kind in (
            ("format", FrameField.FORMAT, I32),
            ("rate", FrameField.RATE, I32),
            ("layout", FrameField.LAYOUT, I64),
            ("mask", FrameField.LAYOUT + 8, I64),
        ):
            with b.if_then(b.icmp_signed("!=", self._field("frame", at, kind), self._get(name))):
                self._come_back(Status.OTHER_FRAME, Phase.RECEIVE)
        is_long = b.icmp_signed(">", n, self._get("room"))
        with b.if_then(b.or_(is_long, b.icmp_signed("<", to_look, I64(0)))):
            self._come_back(Status.FRAME, Phase.RECEIVE)
        b.branch(self.blocks["mix"])

    def _mix(self) -> None:
        b = self.b
        n, mono, planes = self._get("n_samples"), self._get("mono"), self._field("frame", FrameField.PLANES, I64)
        self._call("mix", VOID, mono, planes, b.ptrtoint(self._slot("n_samples"), I64), I64(1))
        self._set("mono", b.add(mono, b.shl(n, I64(2))))
        self._set("n_mixed", b.add(self._get("n_mixed"), n))
        self._set("room", b.sub(self._get("room"), n))
        b.branch(self.blocks["receive"])

    # ---- pieces ----

    def _slot(self, name: str) -> Any:
        return self.b.gep(self.state, [I64(_INDEX[name])])

    def _get(self, name: str) -> Any:
        return self.b.load(self._slot(name))

    def _set(self, name: str, value: Any) -> None:
        self.b.store(value, self._slot(name))

    def _is(self, name: str) -> Any:
        return self.b.icmp_signed("!=", self._get(name), I64(0))

    def _place(self, structure: str, at: int, kind: ir.IntType) -> Any:
        return self.b.inttoptr(self.b.add(self._get(structure), I64(at)), kind.as_pointer())

    def _field(self, structure: str, at: int, kind: ir.IntType) -> Any:
        """A number in a structure of FFmpeg, as `int64`."""
        value = self.b.load(self._place(structure, at, kind))
        return value if kind is I64 else self.b.sext(value, I64)

    def _call(self, function: str, result: ir.Type, *arguments: Any) -> Any:
        """Calls a function whose address is in the state; names stand for what is there."""
        values = [self._get(value) if isinstance(value, str) else value for value in arguments]
        kind = ir.FunctionType(result, [I64] * len(values))
        return self.b.call(self.b.inttoptr(self._get(function), kind.as_pointer()), values)

    def _let_go(self) -> None:
        self._call("unref", VOID, "packet")

    def _come_back(self, status: Status, phase: Phase = Phase.READ, error: Any = None) -> None:
        if error is not None:
            self._set("error", self.b.sext(error, I64))
        self._set("phase", I64(phase))
        self._set("status", I64(status))
        self.b.ret_void()
