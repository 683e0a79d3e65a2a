"""Finds the files of a library that could be tracks. Lists folders and reads file status; opens no file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from dedup.errors import LibraryError
from dedup.files.paths import compile_globs, extension_of, holds, printable, volume_of
from dedup.files.quarantine import QUARANTINE
from dedup.files.status import device_and_inode, size_and_time
from dedup.observer import Kind, Observer, Silent
from dedup.settings import UNFINISHED_EXTENSIONS, DiscoverSettings

_Identity = tuple[int, int]
"""(device, inode): identifies a folder or file, whatever its name is."""

_ODD_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A regular file that is not empty and has the name of an audio file."""

    path: bytes
    """Absolute and normalised; symbolic links are not resolved."""
    root: bytes
    """The root it was found under; for a root that is a file, the folder of that file."""
    volume: bytes
    """The mount point that holds it."""
    size: int
    """Bytes, at least 1."""
    mtime_ns: int
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not a candidate, and why."""

    kind: Kind
    path: bytes
    reason: str
    is_folder: bool = False
    """Whether it is a folder, or a link to one: it counts as no file."""
    is_known: bool = False
    """Whether a run has told of it that came to its end."""


@dataclass(frozen=True)
class Discovery:
    """What the roots hold."""

    candidates: list[Candidate]
    """Candidates sorted by path; each file once, except hard links."""
    problems: list[Problem]
    """Problems in the order in which they were found."""
    unlisted: list[bytes]
    """Folders, and links that may have led to one, that could not be listed (an absent drive, a lost permission): do
    not take files known at or below them for deleted."""


def discover(
    roots: Sequence[bytes], settings: DiscoverSettings, observer: Observer, own: Sequence[bytes] = ()
) -> Discovery:
    """The candidates below `roots`, the same whatever order the roots and the folders' entries come in.

    A real folder is walked once; a root inside another root is walked under its own name. Links to folders
    are followed after all real folders, links to files after those, and only to what was not found without
    them. A root that is a file is a candidate whatever its name. Raises LibraryError, before anything is
    walked, if a root is neither a folder that can be listed nor a file. Folders of quarantined files and
    those of `own`, such as the store's, are not entered, and nobody is told. The observer advances by one for each
    candidate, and for each skipped or failed file."""
    if not roots:
        raise LibraryError("library", "no folder was given", remedy="Name the folders to look in.")
    absolute = sorted({os.path.abspath(root) for root in roots})
    require_usable(absolute)
    walk = _Walk(absolute, settings, observer, own)
    walk.walk_roots()
    walk.follow_folder_links()
    walk.follow_file_links()
    candidates = sorted(walk.candidates.values(), key=lambda candidate: candidate.path)
    return Discovery(candidates, walk.problems, sorted(walk.unlisted))


def candidate_at(path: bytes, root: bytes, settings: DiscoverSettings) -> Candidate | None:
    """The candidate at a path below a root, if `discover` would find one there and no link is on the way."""
    walk = _Walk([root], settings, Silent(), ())
    try:
        status = os.stat(root)
        folder: _Folder | None = _Folder(root, root, 0, volume_of(root), status.st_dev)
        names = path[len(root) :].strip(b"/").split(b"/")
        for name in names:
            if folder is None or name in (b"", b".", b".."):
                return None
            here = os.path.join(folder.path, name)
            folder = walk.look(here, folder)
    except OSError:
        return None
    return walk.candidates.get(path)


def require_usable(roots: Sequence[bytes]) -> None:
    """Raises LibraryError, with all reasons, if a root is neither a folder that can be listed nor a file."""
    bad = [(root, reason) for root in roots if (reason := _unusable(root))]
    if bad:
        found = "; ".join([bad[0][1], *(f"{printable(root)}: {reason}" for root, reason in bad[1:])])
        raise LibraryError(
            printable(bad[0][0]),
            found,
            "a folder that exists and can be listed",
            "Mount the drive, allow reading, or correct the path.",
        )


def _unusable(root: bytes) -> str | None:
    if _is_quarantined(root):
        return "in a folder of quarantined files"
    try:
        if os.path.isfile(root):
            return None
        with os.scandir(root):
            return None
    except OSError as error:
        return _text(error)


def _text(error: OSError) -> str:
    return error.strerror or type(error).__name__


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to walk."""

    path: bytes
    root: bytes
    depth: int
    volume: bytes
    device: int


@dataclass(frozen=True, slots=True)
class _Link:
    """A symbolic link, followed after all real folders have been walked."""

    path: bytes
    root: bytes
    depth: int
    """Depth below the root, in folders, of the folder that it leads to."""


class _Walk:
    """The state of one discovery."""

    def __init__(
        self, roots: Sequence[bytes], settings: DiscoverSettings, observer: Observer, own: Sequence[bytes]
    ) -> None:
        self._own = {_identity(os.stat(folder)) for folder in own if os.path.isdir(folder)}
        self._roots, self._settings, self._observer = roots, settings, observer
        self.candidates: dict[bytes, Candidate] = {}
        self.problems: list[Problem] = []
        self.unlisted: list[bytes] = []
        self._inodes: dict[_Identity, bytes] = {}
        self._walked: dict[_Identity, bytes] = {}
        self._folder_links: list[_Link] = []
        self._file_links: list[_Link] = []
        self._included = compile_globs(settings.include or ("**",))
        self._excluded = compile_globs(settings.exclude)

    def walk_roots(self) -> None:
        real = [root for root in self._roots if os.path.realpath(root) == root]
        self._walk_roots(real)
        # After the real ones, so that a link does not take a real root's files from it.
        self._walk_roots([root for root in self._roots if root not in real])

    def follow_folder_links(self) -> None:
        while self._folder_links:
            links = sorted(self._folder_links, key=lambda link: link.path)
            self._folder_links = []
            for link in links:
                self._follow_folder_link(link)

    def follow_file_links(self) -> None:
        for link in sorted(self._file_links, key=lambda link: link.path):
            try:
                status = os.stat(link.path)
            except OSError as error:
                self._report(*_broken_link(error), link.path)
                continue
            known = self._inodes.get(_identity(status))
            if _is_quarantined(os.path.realpath(link.path)):
                continue
            if known is None:
                self._take(link.path, link.root, volume_of(link.path), status)
            else:
                self._report("skipped", f"link to {printable(known)}", link.path)

    def _walk_roots(self, roots: Sequence[bytes]) -> None:
        folders = []
        for root in roots:
            status = os.stat(root)
            if stat.S_ISREG(status.st_mode):
                self._take_root_file(root, status)
            elif (known := self._walked.setdefault(_identity(status), root)) == root:
                folders.append(_Folder(root, root, 0, volume_of(root), status.st_dev))
            else:
                self._report("skipped", f"a folder that was already walked: {printable(known)}", root, is_folder=True)
        for folder in folders:
            self._walk(folder)

    def _take_root_file(self, path: bytes, status: os.stat_result) -> None:
        folder = os.path.dirname(path)
        if os.path.realpath(path) == path:
            self._take(path, folder, volume_of(path), status)
        else:
            self._file_links.append(_Link(path, folder, 0))

    def _follow_folder_link(self, link: _Link) -> None:
        target = os.path.realpath(link.path)
        try:
            status = os.stat(link.path)
        except OSError as error:
            self._report(*_broken_link(error), link.path)
            return
        if _is_quarantined(target) or _identity(status) in self._own:
            return
        if _identity(status) in self._walked:
            reason = f"link to a folder that was already walked: {printable(target)}"
            self._report("skipped", reason, link.path, is_folder=True)
        elif any(holds(target, os.path.realpath(root)) for root in self._roots):
            # A person who chose a root below it left out the rest: `up -> ..` is a loop, not more music.
            self._report(
                "skipped", f"link to a folder that holds a root: {printable(target)}", link.path, is_folder=True
            )
        else:
            self._walked[_identity(status)] = link.path
            self._walk(_Folder(link.path, link.root, link.depth, volume_of(target), status.st_dev))

    def _walk(self, start: _Folder) -> None:
        pending = [start]
        while pending:
            folder = pending.pop()
            self._observer.folder(folder.path)
            try:
                with os.scandir(folder.path) as entries:
                    names = sorted(entry.name for entry in entries)
            except OSError as error:
                self._report("failed", _text(error), folder.path, is_folder=True)
                self.unlisted.append(folder.path)
                continue
            below = [self.look(os.path.join(folder.path, name), folder) for name in names]
            pending.extend(subfolder for subfolder in reversed(below) if subfolder)

    def look(self, path: bytes, folder: _Folder) -> _Folder | None:
        """Puts one entry of a folder where it belongs; returns it if it is a folder to walk now."""
        if path in self._roots:
            return None
        try:
            status = os.lstat(path)
            target = os.stat(path) if stat.S_ISLNK(status.st_mode) else status
        except OSError as error:
            if self._chosen(path, folder.root, is_folder=False):
                self._report_unseen(error, path)
            return None
        linked = target is not status
        if stat.S_ISDIR(target.st_mode):
            if _identity(target) not in self._own and self._is_entered(path, folder):
                return self._enter(path, folder, target, linked)
        elif self._chosen(path, folder.root, is_folder=False):
            if reason := self._unusable_name(path) or _odd_kind(target):
                self._report(*reason, path)
            elif linked:
                self._file_links.append(_Link(path, folder.root, folder.depth))
            else:
                self._take(path, folder.root, folder.volume, status)
        return None

    def _enter(self, path: bytes, folder: _Folder, status: os.stat_result, linked: bool) -> _Folder | None:
        if linked:
            self._folder_links.append(_Link(path, folder.root, folder.depth + 1))
            return None
        known = self._walked.setdefault(_identity(status), path)
        if known != path:
            self._report("skipped", f"a folder that was already walked: {printable(known)}", path, is_folder=True)
            return None
        volume = folder.volume if status.st_dev == folder.device else volume_of(path)
        return _Folder(path, folder.root, folder.depth + 1, volume, status.st_dev)

    def _is_entered(self, path: bytes, folder: _Folder) -> bool:
        too_deep = self._settings.max_depth is not None and folder.depth >= self._settings.max_depth
        if too_deep or not self._chosen(path, folder.root, is_folder=True):
            return False
        name = os.path.basename(path)
        if name == QUARANTINE:
            return False
        if name.startswith(b".") and not self._settings.hidden:
            self._report("ignored", "a hidden folder", path, is_folder=True)
            return False
        if extension_of(name) in self._settings.extensions:
            self._report("skipped", "a directory", path, is_folder=True)
        return True

    def _chosen(self, path: bytes, root: bytes, is_folder: bool) -> bool:
        relative = path[len(root) :].lstrip(b"/")
        return not self._excluded(relative, is_folder) and (is_folder or self._included(relative, False))

    def _unusable_name(self, path: bytes) -> tuple[Kind, str] | None:
        name = os.path.basename(path)
        extension = extension_of(name)
        if extension in self._settings.extensions:
            return ("skipped", "hidden") if name.startswith(b".") and not self._settings.hidden else None
        if extension in UNFINISHED_EXTENSIONS:
            return "skipped", f"unfinished download (.{extension})"
        shown = printable(os.fsencode(extension))
        return "ignored", f"not an audio extension (.{shown})" if extension else "no extension"

    def _take(self, path: bytes, root: bytes, volume: bytes, status: os.stat_result) -> None:
        if status.st_size == 0:
            self._report("failed", "empty file", path)
            return
        self._observer.advance()
        self._inodes.setdefault(_identity(status), path)
        (size, mtime_ns), (device, inode) = size_and_time(status), device_and_inode(status)
        self.candidates[path] = Candidate(
            path=path,
            root=root,
            volume=volume,
            size=size,
            mtime_ns=mtime_ns,
            device=device,
            inode=inode,
        )

    def _report_unseen(self, error: OSError, path: bytes) -> None:
        kind, reason = _broken_link(error) if os.path.islink(path) else _unreadable(error)
        self._report(kind, reason, path)
        may_be_folder = extension_of(path) not in self._settings.extensions
        is_gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        if not is_gone or (may_be_folder and reason == "dangling link"):
            self.unlisted.append(path)

    def _report(self, kind: Kind, reason: str, path: bytes, is_folder: bool = False) -> None:
        self.problems.append(Problem(kind, path, reason, is_folder))
        if kind != "ignored" and not is_folder:
            self._observer.advance()
        self._observer.problem(kind, path, reason)


def _is_quarantined(path: bytes) -> bool:
    """Whether it lies in a folder of quarantined files: what was removed as a copy must not be found again."""
    return QUARANTINE in path.split(b"/")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _odd_kind(status: os.stat_result) -> tuple[Kind, str] | None:
    kind = stat.S_IFMT(status.st_mode)
    return None if kind == stat.S_IFREG else ("skipped", _ODD_KINDS.get(kind, "not a regular file"))


def _broken_link(error: OSError) -> tuple[Kind, str]:
    if error.errno == errno.ELOOP:
        return "skipped", "link to itself"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "skipped", "dangling link"
    return _unreadable(error)


def _unreadable(error: OSError) -> tuple[Kind, str]:
    return ("skipped", "vanished") if error.errno == errno.ENOENT else ("failed", _text(error))
