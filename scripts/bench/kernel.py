#!/usr/bin/env python3
"""Times the exact kernel against a plain compiled loop and against C, one core, in turn, in one run.

    scripts/bench/kernel.py [--items 948] [--lags 300] [--rounds 15] [--cpu avx2] [--json]

Unit: G items/s/core; one item is one 32-bit exclusive or, one count of bits and one addition. Fingerprints have --items
items, lags go from -LAGS to LAGS, and the clock is the CPU time of the thread.

The kernel is `lanes.lane_curve`, one fingerprint against 16; the plain loop is Numba's, lag by lag, of two
fingerprints. For both, only overlapping items count. C has it easier: one pair, cut into as many segments as a
register has words and laid out so that a shift by a lag is a shift by whole rows, with zeros all around and no ends to
handle; every item counts, even zeros. Each of clang, gcc and cc that is found compiles the source below for this
processor; the fastest loop of all counts. Every way is first checked against numpy.

`--cpu avx2` limits Numba and C to a processor with AVX2 and without AVX-512 (Haswell)."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import numpy.typing as npt
from llvmlite.binding import get_host_cpu_features

from dedup.correlation.accelerate import jit
from dedup.correlation.emit import LANES
from dedup.correlation.lanes import Counts, Lanes, Words, lane_curve, pack
from dedup.correlation.llvm import LAGS
from dedup.correlation.vector import add_bit_errors
from scripts.bench.scan import machine

LIMITED = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+f16c,+fma,+fxsr,+lzcnt,+movbe,+popcnt,+sse4.2,+xsave",
    "REPRISE_KERNEL_CACHE": "off",
}
"""Environment that `--cpu avx2` sets before Numba is imported."""

TURN_S = 0.1
"""CPU time of one way's turn in a round."""

SEED = 1


@dataclass(frozen=True)
class Way:
    name: str
    n_items: int
    """Items that one call counts."""
    call: Callable[[int], object]
    """Function that makes a given number of calls."""


@dataclass(frozen=True)
class Loop:
    """One of the functions in C_SOURCE."""

    words: int
    """Words in a row."""
    rows: int
    """Rows at a time; `n_rows` is a multiple of it."""
    lags: int
    """Lags at a time; `n_lags` is a multiple of it."""


LOOPS = {
    "avx512": Loop(16, 4, 8),
    "avx2_harley_seal": Loop(8, 16, 1),
    "avx2_pshufb": Loop(8, 16, 1),
    "plain_c": Loop(1, 1, 1),
}
"""Loops in C_SOURCE by name; the library has those that the processor can run."""

C_SOURCE = r"""
#include <stdint.h>

/* errors[lag] = sum over all rows and words of popcount(x[row + lag][word] ^ y[row][word]) */
#define LOOP(name) void name(const uint32_t *x_words, const uint32_t *y_words, long n_rows, long n_lags, \
                             uint32_t *errors)
typedef void loop(const uint32_t *, const uint32_t *, long, long, uint32_t *);

void repeat(long n, loop *f, const uint32_t *x, const uint32_t *y, long n_rows, long n_lags, uint32_t *errors) {
    while (n-- > 0) f(x, y, n_rows, n_lags, errors);
}

#if defined __AVX512VPOPCNTDQ__
#include <immintrin.h>

/* Eight lags by four rows a step: 15 loads, all aligned, for 32 times three instructions. */
#define STEP(l, k) sums[l] = _mm512_add_epi32(sums[l], _mm512_popcnt_epi32(_mm512_xor_si512(items[(l) + (k)], y##k)))
#define LAG(l) STEP(l, 0); STEP(l, 1); STEP(l, 2); STEP(l, 3)
#define ALL(f) f(0); f(1); f(2); f(3); f(4); f(5); f(6); f(7)
LOOP(avx512) {
    const __m512i *x = (const __m512i *)x_words, *y = (const __m512i *)y_words;
    for (long lag = 0; lag < n_lags; lag += 8, x += 8) {
        __m512i sums[8], items[11];
#define CLEAR(l) sums[l] = _mm512_setzero_si512()
        ALL(CLEAR);
        for (long row = 0; row < n_rows; row += 4) {
            __m512i y0 = y[row], y1 = y[row + 1], y2 = y[row + 2], y3 = y[row + 3];
#define LOAD(k) items[k] = x[row + (k)]
            ALL(LOAD); LOAD(8); LOAD(9); LOAD(10);
            ALL(LAG);
        }
#define STORE(l) errors[lag + (l)] = _mm512_reduce_add_epi32(sums[l])
        ALL(STORE);
    }
}
#elif defined __AVX2__
#include <immintrin.h>
typedef __m256i row;

static inline row ones_of_bytes(row v) {
    const row ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                      0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const row low = _mm256_set1_epi8(15);
    return _mm256_add_epi8(_mm256_shuffle_epi8(ones, _mm256_and_si256(v, low)),
                           _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi32(v, 4), low)));
}

static inline row ones_of_row(row v) { return _mm256_sad_epu8(ones_of_bytes(v), _mm256_setzero_si256()); }

static inline uint32_t total(row v) {
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return (uint32_t)(_mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1));
}

/* A full adder for each bit: what a, b and c sum up to is low + 2 * the result. */
static inline row add3(row a, row b, row c, row *low) {
    row either = _mm256_xor_si256(a, b);
    *low = _mm256_xor_si256(either, c);
    return _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(either, c));
}

/* Harley and Seal: sixteen rows become one whose bits weigh sixteen, and only that one is counted. */
#define DIFFERENCE(k) _mm256_xor_si256(x[r + (k)], y[r + (k)])
LOOP(avx2_harley_seal) {
    const row *x = (const row *)x_words, *y = (const row *)y_words;
    for (long lag = 0; lag < n_lags; lag++, x++) {
        row ones = _mm256_setzero_si256(), twos = ones, fours = ones, eights = ones, sum = ones;
        for (long r = 0; r < n_rows; r += 16) {
            row two[2], four[2], eight[2];
#define FOUR(k, i) \
            two[0] = add3(ones, DIFFERENCE(k), DIFFERENCE((k) + 1), &ones); \
            two[1] = add3(ones, DIFFERENCE((k) + 2), DIFFERENCE((k) + 3), &ones); \
            four[i] = add3(twos, two[0], two[1], &twos)
            FOUR(0, 0);
            FOUR(4, 1);
            eight[0] = add3(fours, four[0], four[1], &fours);
            FOUR(8, 0);
            FOUR(12, 1);
            eight[1] = add3(fours, four[0], four[1], &fours);
            sum = _mm256_add_epi64(sum, ones_of_row(add3(eights, eight[0], eight[1], &eights)));
        }
        sum = _mm256_add_epi64(_mm256_add_epi64(sum, sum), ones_of_row(eights));
        sum = _mm256_add_epi64(_mm256_add_epi64(sum, sum), ones_of_row(fours));
        sum = _mm256_add_epi64(_mm256_add_epi64(sum, sum), ones_of_row(twos));
        sum = _mm256_add_epi64(_mm256_add_epi64(sum, sum), ones_of_row(ones));
        errors[lag] = total(sum);
    }
}

/* A table of the bits in four bits, looked up 64 times by two shuffles; sixteen rows are summed in bytes. */
LOOP(avx2_pshufb) {
    const row *x = (const row *)x_words, *y = (const row *)y_words;
    for (long lag = 0; lag < n_lags; lag++, x++) {
        row sum = _mm256_setzero_si256();
        for (long r = 0; r < n_rows; r += 16) {
            row bytes = ones_of_bytes(DIFFERENCE(0));
            for (int k = 1; k < 16; k++) bytes = _mm256_add_epi8(bytes, ones_of_bytes(DIFFERENCE(k)));
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
        }
        errors[lag] = total(sum);
    }
}
#else
LOOP(plain_c) {
    for (long lag = 0; lag < n_lags; lag++) {
        uint32_t sum = 0;
        for (long r = 0; r < n_rows; r++) sum += (uint32_t)__builtin_popcount(x_words[lag + r] ^ y_words[r]);
        errors[lag] = sum;
    }
}
#endif
"""


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=948)
    parser.add_argument("--lags", type=int, default=300, help="largest lag on either side (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu", choices=["avx2"], help="use no newer instructions")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.items < 1 or args.lags < 0 or args.rounds < 1:
        parser.error("--items and --rounds must be 1 or more, --lags 0 or more")
    if args.cpu and not get_host_cpu_features().get(args.cpu):
        sys.exit(f"this processor does not support {args.cpu.upper()}")
    if args.cpu and os.environ.get("NUMBA_CPU_NAME") != LIMITED["NUMBA_CPU_NAME"]:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | LIMITED)
    lags = min(args.lags, args.items - 1)
    random = np.random.default_rng(SEED)
    fingerprints = random.integers(1 << 32, size=(LANES, args.items), dtype=np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        compilers = found_compilers()
        ways = [kernel_way(fingerprints, lags), plain_way(fingerprints, lags)]
        for number, compiler in enumerate(compilers):
            library = compiled(compiler, Path(folder, f"loops{number}.so"), args.cpu)
            ways += c_ways(compiler, library, fingerprints, lags)
        rates = measured(ways, args.rounds)
    show(args, compilers, rates)


def kernel_way(fingerprints: Words, lags: int) -> Way:
    n, n_items = fingerprints.shape
    packed, _ = pack(fingerprints.reshape(-1), np.arange(n + 1, dtype=np.int64) * n_items, 1, 0)
    room = 2 * lags + 1 + LAGS
    spans, curve = np.empty((2, room), np.int32), np.empty((room, LANES), np.uint32)
    repeat_kernel(1, packed, lags, spans, curve)
    for lane, y in enumerate(packed.order):
        expected = expected_errors(fingerprints[packed.order[0]], fingerprints[y], lags)
        require_equal("kernel", curve[: 2 * lags + 1, lane], expected)
    return Way("kernel", LANES * overlaps(n_items, lags), lambda n: repeat_kernel(n, packed, lags, spans, curve))


@jit
def repeat_kernel(n: int, packed: Lanes, lags: int, spans: npt.NDArray[np.int32], curve: Words) -> None:
    for i in range(n):
        lane_curve(packed, i % LANES, packed, 0, -lags, lags, spans, curve)


def plain_way(fingerprints: Words, lags: int) -> Way:
    errors = np.empty(2 * lags + 1, np.int64)
    repeat_plain(1, fingerprints, lags, errors)
    require_equal("plain loop", errors, expected_errors(fingerprints[0], fingerprints[1], lags))
    n_items = overlaps(fingerprints.shape[1], lags)
    return Way("plain loop", n_items, lambda n: repeat_plain(n, fingerprints, lags, errors))


@jit
def repeat_plain(n: int, fingerprints: Words, lags: int, errors: Counts) -> None:
    for i in range(n):
        x, y = fingerprints[i % LANES], fingerprints[(i + 1) % LANES]
        for lag in range(-lags, lags + 1):
            left, right = x[max(lag, 0) :], y[max(-lag, 0) :]
            total = np.uint32(0)
            for k in range(min(len(left), len(right))):
                total = add_bit_errors(total, left[k], right[k])
            errors[lag + lags] = total


def overlaps(n_items: int, lags: int) -> int:
    """Total number of items that overlap at the lags from `-lags` to `lags`."""
    return sum(n_items - abs(lag) for lag in range(-lags, lags + 1))


def expected_errors(x: Words, y: Words, lags: int) -> Counts:
    padded = np.concatenate([np.zeros(lags, np.uint32), x, np.zeros(lags, np.uint32)])
    over = np.concatenate([np.zeros(lags, bool), np.ones(len(x), bool), np.zeros(lags, bool)])
    return np.array(
        [np.bitwise_count(padded[i : i + len(y)] ^ y)[over[i : i + len(y)]].sum() for i in range(2 * lags + 1)],
        np.int64,
    )


def require_equal(name: str, found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    if not np.array_equal(found, expected):
        sys.exit(f"{name}: other bit errors than numpy at {np.count_nonzero(found != expected)} of {len(found)} lags")


def found_compilers() -> list[str]:
    """Paths of the C compilers, each once."""
    found = [path for path in map(shutil.which, ("clang", "gcc", "cc")) if path]
    return list({os.path.realpath(path): path for path in found}.values())


def compiled(compiler: str, path: Path, cpu: str | None) -> ctypes.CDLL:
    source = path.with_suffix(".c")
    source.write_text(C_SOURCE)
    targets = ["-march=haswell"] if cpu else ["-march=native", "-mcpu=native"]
    for target in targets:
        command = [compiler, "-O3", target, "-shared", "-fPIC", "-o", path, source]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode == 0:
            return ctypes.CDLL(str(path))
    sys.exit(f"{compiler} cannot compile the C loops: {done.stderr.decode(errors='replace')}")


def c_ways(compiler: str, library: ctypes.CDLL, fingerprints: Words, lags: int) -> Iterator[Way]:
    library.repeat.argtypes = [ctypes.c_long, *[ctypes.c_void_p] * 3, *[ctypes.c_long] * 2, ctypes.c_void_p]
    for name, loop in LOOPS.items():
        if hasattr(library, name):
            yield c_way(f"C {name}, {Path(compiler).name}", library, getattr(library, name), loop, fingerprints, lags)


def c_way(name: str, library: ctypes.CDLL, function: Any, loop: Loop, fingerprints: Words, lags: int) -> Way:
    n_rows = rounded_up(-(-fingerprints.shape[1] // loop.words), loop.rows)
    n_lags, n_items = rounded_up(2 * lags + 1, loop.lags), n_rows * loop.words
    padded_x, padded_y = np.zeros(n_items + n_lags, np.uint32), np.zeros(n_items, np.uint32)
    padded_x[lags : lags + fingerprints.shape[1]] = fingerprints[0]
    padded_y[: fingerprints.shape[1]] = fingerprints[1]
    segments = np.arange(loop.words) * n_rows
    x = aligned(padded_x[segments + np.arange(n_rows + n_lags)[:, None]])
    y = aligned(padded_y[segments + np.arange(n_rows)[:, None]])
    errors = np.zeros(n_lags, np.uint32)

    def call(n: int) -> None:
        library.repeat(n, function, x.ctypes.data, y.ctypes.data, n_rows, n_lags, errors.ctypes.data)

    call(1)
    expected = [int(np.bitwise_count(padded_x[lag : lag + n_items] ^ padded_y).sum()) for lag in range(n_lags)]
    require_equal(name, errors, np.array(expected))
    return Way(name, n_items * n_lags, call)


def rounded_up(n: int, step: int) -> int:
    return -(-n // step) * step


def aligned(words: Words) -> Words:
    """A copy that begins on a cache line."""
    room = np.empty(words.size + 16, np.uint32)
    skipped = -room.ctypes.data % 64 // 4
    copy = room[skipped : skipped + words.size].reshape(words.shape)
    copy[:] = words
    return copy


def measured(ways: list[Way], rounds: int) -> dict[str, list[float]]:
    """G items/s of each way in each round."""
    calls = {way.name: calls_of_a_turn(way) for way in ways}
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            n = calls[way.name]
            rates[way.name].append(n * way.n_items / timed(way, n) / 1e9)
    return rates


def calls_of_a_turn(way: Way) -> int:
    n, seconds = 1, timed(way, 1)
    while seconds < TURN_S / 4:
        n *= 2
        seconds = timed(way, n)
    return max(1, round(n * TURN_S / seconds))


def timed(way: Way, n: int) -> float:
    began = time.thread_time()
    way.call(n)
    return time.thread_time() - began


def show(args: argparse.Namespace, compilers: list[str], rates: dict[str, list[float]]) -> None:
    in_c = [name for name in rates if name.startswith("C ")]
    fastest = max(in_c, key=lambda name: statistics.median(rates[name]), default=None)
    figures = {
        "machine": ", ".join([machine(), *versions(compilers)]),
        "cpu": args.cpu or "native",
        "items": args.items,
        "lags": args.lags,
        "rounds": args.rounds,
        "g_items_per_s": {name: spread(values) for name, values in rates.items()},
        "kernel_to_c": ratio(rates, fastest) if fastest else None,
        "kernel_to_plain": ratio(rates, "plain loop"),
        "fastest_c": fastest,
    }
    if args.json:
        print(json.dumps(figures))
        return
    print(figures["machine"])
    limit = ", limited to AVX2" if args.cpu else ""
    print(f"{args.items} items, lags ±{args.lags}, {args.rounds} rounds{limit}; median (lowest to highest)\n")
    for name, values in rates.items():
        print(f"{name:32} {told(spread(values), 1)} G items/s/core")
    print(f"\n{'kernel / plain loop':32} {told(ratio(rates, 'plain loop'), 2)}")
    if fastest:
        print(f"{'kernel / ' + fastest:32} {told(ratio(rates, fastest), 2)}")
    else:
        print("found no C compiler. Install clang, gcc or cc to compare with C")


def versions(compilers: list[str]) -> list[str]:
    import llvmlite.binding
    import numba

    llvm = ".".join(map(str, llvmlite.binding.llvm_version_info))
    lines = [subprocess.run([c, "--version"], capture_output=True, text=True, check=False).stdout for c in compilers]
    return [f"Numba {numba.__version__}", f"LLVM {llvm}", *(line.splitlines()[0] for line in lines if line)]


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}


def ratio(rates: dict[str, list[float]], other: str) -> dict[str, float]:
    """Ratio of the kernel's rate to the other's, round by round."""
    return spread([ours / theirs for ours, theirs in zip(rates["kernel"], rates[other], strict=True)])


def told(values: dict[str, float], digits: int) -> str:
    return "{median:6.{d}f}  ({low:.{d}f} to {high:.{d}f})".format(**values, d=digits)


if __name__ == "__main__":
    main()
