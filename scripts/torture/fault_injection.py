"""Runs commands of this program under a fault: the n-th write below a folder is refused, or ends or stops the process.

A library in front of libc (`LD_PRELOAD`) counts the calls that change a disk; it is compiled on the spot. Without a
compiler or Linux, the size of files is limited instead (`RLIMIT_FSIZE`), which gives fewer places but real refusals.
Commands run in children of one process that has everything loaded, to be quick."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char folder[4096];
static long count, first, last_one, clock_at, clock_jump_s, jumped_s;
static int how;
static char sites[1 << 20];
static size_t sites_length;

void fault_arm(const char *where, long from, long to, int what, long jump_at, long jump_s) {
    strncpy(folder, where, sizeof folder - 1);
    count = 0; first = from; last_one = to; how = what; clock_at = jump_at; clock_jump_s = jump_s;
}
long fault_count(void) { return count; }
const char *fault_sites(void) { return sites; }

static int folder_armed(void) { return folder[0] != 0; }
static int inside(const char *path) { return folder[0] && path && !strncmp(path, folder, strlen(folder)); }
static const char *path_of(int fd, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, buffer, size - 1);
    if (n < 0) return NULL;
    buffer[n] = 0;
    return buffer;
}
static int refused(const char *call, const char *path) {
    if (!inside(path)) return 0;
    if (strstr(path, "/progress.json")) return 0;  /* by the clock, so numbers would shift */
    count++;
    int n = snprintf(sites + sites_length, sizeof sites - sites_length, "%s %s\n", call, path + strlen(folder));
    if (n > 0 && sites_length + n < sizeof sites) sites_length += n;
    if (clock_at && count == clock_at) jumped_s = clock_jump_s;
    if (!first || count < first || count > last_one) return 0;
    if (how < 0) { kill(getpid(), -how); return 0; }
    errno = how;
    return 1;
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ON_FD(fd, call, type, fail, real) \
    { static __typeof__(&real) next; char b[4096]; if (!next) next = REAL(real); \
      int before = errno; const char *p = folder[0] ? path_of(fd, b, sizeof b) : NULL; errno = before; \
      if (p && refused(call, p)) return fail;
ssize_t write(int fd, const void *d, size_t n) ON_FD(fd, "write", ssize_t, -1, write) return next(fd, d, n); }
ssize_t writev(int fd, const struct iovec *d, int n) ON_FD(fd, "write", ssize_t, -1, writev) return next(fd, d, n); }
ssize_t pwrite(int fd, const void *d, size_t n, off_t o)
    ON_FD(fd, "write", ssize_t, -1, pwrite) return next(fd, d, n, o); }
ssize_t pwrite64(int fd, const void *d, size_t n, off64_t o)
    ON_FD(fd, "write", ssize_t, -1, pwrite64) return next(fd, d, n, o); }
int fsync(int fd) ON_FD(fd, "fsync", int, -1, fsync) return next(fd); }
int fdatasync(int fd) ON_FD(fd, "fsync", int, -1, fdatasync) return next(fd); }
int ftruncate(int fd, off_t n) ON_FD(fd, "truncate", int, -1, ftruncate) return next(fd, n); }
int ftruncate64(int fd, off64_t n) ON_FD(fd, "truncate", int, -1, ftruncate64) return next(fd, n); }
#define ON_PATH(path, call, real) \
    { static __typeof__(&real) next; if (!next) next = REAL(real); if (refused(call, path)) return -1;
int mkdir(const char *p, mode_t m) ON_PATH(p, "mkdir", mkdir) return next(p, m); }
int rename(const char *p, const char *q) ON_PATH(p, "rename", rename) return next(p, q); }
int link(const char *p, const char *q) ON_PATH(p, "link", link) return next(p, q); }
static const char *path_at(int folder, const char *name, char *buffer, size_t size) {
    if (!folder_armed() || !name || name[0] == '/' || folder == AT_FDCWD) return name;
    const char *above = path_of(folder, buffer, size);
    size_t length = above ? strlen(above) : 0;
    if (!above || length + strlen(name) + 2 > size) return NULL;
    buffer[length] = '/';
    strcpy(buffer + length + 1, name);
    return buffer;
}
#define ON_PATH_AT(d, path, call, real) \
    { static __typeof__(&real) next; char b[8192]; if (!next) next = REAL(real); \
      int before = errno; const char *at = path_at(d, path, b, sizeof b); errno = before; \
      if (refused(call, at)) return -1;
int symlink(const char *p, const char *q) ON_PATH(q, "symlink", symlink) return next(p, q); }
int unlink(const char *p) ON_PATH(p, "unlink", unlink) return next(p); }
int rmdir(const char *p) ON_PATH(p, "rmdir", rmdir) return next(p); }
int unlinkat(int d, const char *p, int f) ON_PATH_AT(d, p, "unlink", unlinkat) return next(d, p, f); }
int symlinkat(const char *p, int d, const char *q) ON_PATH_AT(d, q, "symlink", symlinkat) return next(p, d, q); }
int renameat2(int d, const char *p, int e, const char *q, unsigned f)
    ON_PATH_AT(d, p, "rename", renameat2) return next(d, p, e, q, f); }
int mkdirat(int d, const char *p, mode_t m) ON_PATH_AT(d, p, "mkdir", mkdirat) return next(d, p, m); }
int renameat(int d, const char *p, int e, const char *q) ON_PATH_AT(d, p, "rename", renameat) return next(d, p, e, q); }
int linkat(int d, const char *p, int e, const char *q, int f)
    ON_PATH_AT(d, p, "link", linkat) return next(d, p, e, q, f); }
static int is_new(int flags, const char *path) {
    if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT)) return 0;
    return how == EROFS || how == EACCES || ((flags & O_CREAT) && access(path, F_OK) != 0);
}
#define OPEN(name) \
    int name(const char *p, int flags, ...) { \
        static __typeof__(&name) next; if (!next) next = REAL(name); \
        va_list a; va_start(a, flags); mode_t m = va_arg(a, mode_t); va_end(a); \
        int before = errno; if (inside(p) && is_new(flags, p)) { errno = before; if (refused("open", p)) return -1; } \
        errno = before; return next(p, flags, m); }
OPEN(open)
OPEN(open64)
int openat(int d, const char *p, int flags, ...) {
    static __typeof__(&openat) next; if (!next) next = REAL(openat);
    va_list a; va_start(a, flags); mode_t m = va_arg(a, mode_t); va_end(a);
    char b[8192]; int before = errno; const char *at = path_at(d, p, b, sizeof b);
    if (inside(at) && is_new(flags, at)) { errno = before; if (refused("open", at)) return -1; }
    errno = before;
    return next(d, p, flags, m);
}
int openat64(int d, const char *p, int flags, ...) {
    static __typeof__(&openat64) next; if (!next) next = REAL(openat64);
    va_list a; va_start(a, flags); mode_t m = va_arg(a, mode_t); va_end(a);
    char b[8192]; int before = errno; const char *at = path_at(d, p, b, sizeof b);
    if (inside(at) && is_new(flags, at)) { errno = before; if (refused("open", at)) return -1; }
    errno = before;
    return next(d, p, flags, m);
}
int clock_gettime(clockid_t which, struct timespec *t) {
    static __typeof__(&clock_gettime) next; if (!next) next = REAL(clock_gettime);
    int done = next(which, t);
    if (which == CLOCK_REALTIME) t->tv_sec += jumped_s;
    return done;
}
"""

SIGNALS = {"kill": -9, "stop": -19}


@dataclass(frozen=True)
class Fault:
    """Which calls that change something below a folder fail, and how."""

    folder: str
    first: int = 0
    """Number of the first call that fails, from 1; 0 for none."""
    last: int = 1 << 60
    """Number of the last call that fails."""
    how: int | str = 0
    """Error number of the failure, or "kill" or "stop"."""
    file_size: int = 0
    """Limit of a file's size in bytes, instead of failing calls; 0 for no limit."""
    jump_at: int = 0
    """Number of the call at which the clock jumps by `jump_s`; 0 for none."""
    jump_s: int = 0


@dataclass(frozen=True)
class Ended:
    """The end of a command."""

    code: int
    """Exit code; the negated number of the signal that ended it."""
    out: bytes
    err: str
    n_calls: int
    """Calls that changed something below the folder; 0 if nothing counts them."""
    sites: tuple[str, ...]
    """Those calls, such as "write /catalog.db-wal"."""


class Host:
    """A context manager: a process that runs commands, one at a time."""

    def __init__(self, **variables: str) -> None:
        """`variables` are set in the environment of the commands."""
        self.work, self._variables = Path(tempfile.mkdtemp(prefix="faults-")), variables
        self.library = compiled(self.work)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Host:
        environment = {**os.environ, **self._variables}
        if self.library:
            environment["LD_PRELOAD"] = str(self.library)
        command = [sys.executable, __file__, str(self.work)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, start_new_session=True
        )
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process is not None
        self._process.communicate(timeout=60)  # it ends at the end of its input
        shutil.rmtree(self.work, ignore_errors=True)

    @property
    def stdout(self) -> Path:
        """File that a command's stdout goes to: a folder of `Fault` that refuses what is printed."""
        return self.work / "out"

    def run(self, *arguments: str, fault: Fault | None = None, said: str = "") -> Ended:
        """Runs one command, with `said` on its stdin, to its end."""
        assert self._process is not None
        (self.work / "in").write_text(said)
        request = {"arguments": arguments, "fault": asdict(fault) if fault else None}
        source, answer = _pipe(self._process.stdin), _pipe(self._process.stdout)
        source.write(json.dumps(request).encode() + b"\n")
        source.flush()
        code, n_calls = json.loads(answer.readline())
        sites = (self.work / "sites").read_text(errors="replace").splitlines()
        return Ended(
            code,
            (self.work / "out").read_bytes(),
            (self.work / "err").read_text(errors="replace"),
            n_calls,
            tuple(sites),
        )


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def compiled(folder: Path) -> Path | None:
    """The library; None if it cannot be compiled here."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        return None
    source, library = folder / "fault.c", folder / "fault.so"
    source.write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False)
    return library if done.returncode == 0 else None


# ---- inside the process that runs commands


def serve(work: Path) -> None:
    """Runs the commands that stdin requests, each in a child of this process."""
    sys.path.insert(0, str(ROOT))
    _load()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        for name in ("out", "err", "sites", "calls"):
            (work / name).write_bytes(b"")
        child = os.fork()
        if child == 0:
            _run(work, request["arguments"], request["fault"])
        _, status = os.waitpid(child, 0)
        calls = (work / "calls").read_text()
        print(json.dumps([os.waitstatus_to_exitcode(status), int(calls or 0)]), flush=True)


def _load() -> None:
    """Imports what commands import, and compiles what they compile."""
    import importlib

    from dedup.correlation.warm_up import compile_all

    for name in ("full", "check", "exchange", "scan", "correlate", "report"):
        importlib.import_module(f"jobs.commands.{name}")
    for name in (
        "av",
        "mutagen",
        "google_crc32c",
        "zarr",
        "blake3",
        "dedup.scan.scan",
        "dedup.correlation.correlate",
        "dedup.upkeep.check",
    ):
        importlib.import_module(name)
    compile_all()


def _run(work: Path, arguments: list[str], fault: dict[str, Any] | None) -> None:
    for number, name in ((0, "in"), (1, "out"), (2, "err")):
        descriptor = os.open(work / name, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if number else 0))
        os.dup2(descriptor, number)
        os.close(descriptor)
    code, library = 99, None
    try:
        library = _arm(fault)
        sys.argv = ["reprise", *arguments]
        from jobs.cli import cli

        cli.main(arguments, prog_name="reprise")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        if library is not None:
            sites: bytes = library.fault_sites()
            library.fault_arm(b"", 0, 0, 0, 0, 0)
            (work / "sites").write_bytes(sites)
            (work / "calls").write_text(str(len(sites.splitlines())))
        os._exit(code)


def _arm(fault: dict[str, Any] | None) -> Any:
    if fault is None:
        return None
    if fault["file_size"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["file_size"], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if "LD_PRELOAD" not in os.environ:
        return None
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.fault_sites.restype = ctypes.c_char_p
    how = SIGNALS.get(fault["how"], fault["how"])
    numbers = (fault["first"], fault["last"], how, fault["jump_at"], fault["jump_s"])
    kinds = (ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    library.fault_arm(os.fsencode(fault["folder"]), *(kind(n) for kind, n in zip(kinds, numbers, strict=True)))
    return library


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
