"""Every setting that decides a result: frozen, declared once with what a user may write, and a canonical digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal, get_args

from dedup.declaration import Option, Settings, refused

ITEMS_PER_SECOND = 11025 / 1365
"""Chromaprint's frame hop is 1365 samples at 11,025 Hz."""

LONGEST_S = 864_000
"""Longest track, 10 days: a few hostile megabytes of FLAC can claim and give weeks of silence. Every real mix or audio
book is shorter."""

DEFAULT_EXTENSIONS = frozenset(
    "aac ac3 aif aiff ape avi dsf flac m4a m4b m4v mka mkv mov mp2 mp3 mp4 mpc oga ogg opus tta wav webm wma wv".split()  # noqa: SIM905
)
UNFINISHED_EXTENSIONS = frozenset("!ut aria2 crdownload download opdownload part partial tmp".split())  # noqa: SIM905
"""What browsers and download programs put behind a name until the file is whole."""


BACKEND = "reprise 1.5.1"
"""What makes fingerprints here: Reprise's own Chromaprint, whose items are those of libchromaprint 1.5.1."""


@dataclass(frozen=True)
class FingerprintSettings(Settings):
    """What makes two fingerprints comparable; stamped into a store, others are refused."""

    chromaprint: str = field(default=BACKEND, compare=False)
    """Backend that made the first of a store's fingerprints: "reprise 1.5.1", or a version of libchromaprint, such as
    "1.5.1". It decides nothing, because all make the same items."""
    algorithm: int = 1
    """Chromaprint's algorithm number; 1 is "TEST2", libchromaprint's default."""
    sample_rate: int = 11025
    """Sample rate in Hz of the mono PCM that is fingerprinted."""
    length_s: Annotated[
        float, Option("Fingerprint this much from the start of each track; 0 means all of it.", "SECONDS", 0, rare=True)
    ] = 0.0

    def differences(self, other: FingerprintSettings) -> list[str]:
        """One "name: ours / theirs" for each field that differs."""
        return [
            f"{f.name} {getattr(self, f.name)!r} / {getattr(other, f.name)!r}"
            for f in fields(self)
            if f.compare and getattr(self, f.name) != getattr(other, f.name)
        ]


@dataclass(frozen=True)
class DiscoverSettings(Settings):
    """Which files of a root are looked at."""

    extensions: Annotated[
        frozenset[str],
        Option("File name extensions to scan, separated by commas.", "LIST", shown="all audio and video"),
    ] = DEFAULT_EXTENSIONS
    """Extensions in lower case, without the dot."""
    include: Annotated[
        tuple[str, ...],
        Option("Scan only files whose path below the root matches this glob.", "GLOB", shown="everything", rare=True),
    ] = ()
    """Globs on the path below the root; none means all files. `*` stops at a slash, `**` does not."""
    exclude: Annotated[
        tuple[str, ...],
        Option("Skip files and folders that match this glob; wins over --include.", "GLOB", shown="nothing"),
    ] = ()
    """Globs on the path below the root, for files or folders."""
    max_depth: Annotated[
        int | None,
        Option(
            "Folders to descend below a root; 0 scans only the root's own files.", "N", 0, none="unlimited", rare=True
        ),
    ] = None
    hidden: Annotated[bool, Option("Scan files and folders whose names begin with a dot.", rare=True)] = False


@dataclass(frozen=True)
class ScanSettings(Settings):
    """How files become fingerprints."""

    discover: DiscoverSettings = DiscoverSettings()
    min_length_s: Annotated[float, Option("Skip tracks with less audio than this.", "SECONDS", 1, rare=True)] = 10.0
    time_limit_s: Annotated[
        float, Option("Give up on a file that takes longer than this to decode.", "SECONDS", 0, above=True, rare=True)
    ] = 600.0
    retry_failed: Annotated[bool, Option("Retry unchanged files that failed or were skipped before.", rare=True)] = (
        False
    )
    reads_per_disk: Annotated[
        int | None,
        Option(
            "Files to read from a disk at once; 'auto': 1 if it rotates, else no limit.",
            "N",
            1,
            1024,
            none="auto",
            rare=True,
        ),
    ] = None
    again: Annotated[
        Literal["pitch"] | None,
        Option(
            "Hear unchanged files again if an older version made their fingerprints: at other pitches.",
            "WHAT",
            none="no",
            rare=True,
        ),
    ] = None

    @property
    def judgement(self) -> str:
        """The settings that decide whether a file is usable: a problem is remembered for as long as they stay."""
        return f"min-length {self.min_length_s:g}, time-limit {self.time_limit_s:g}"


Method = Literal["cascade", "exact", "join"]
METHODS: tuple[Method, ...] = get_args(Method)


VARISPEED_LAG, VARISPEED_OVERLAP = 243, 0.5
"""In the pass for other speeds: the largest lag, 30 s, and the share of the shorter fingerprint that must overlap, as
copies at another speed are whole."""

_UNSAID = {"varispeed": True, "stretched": False}
"""Values that are not part of a record of settings: those of all stores that were made before there was a choice."""


@dataclass(frozen=True)
class CompareSettings(Settings):
    """How two fingerprints are compared; part of every tile's name."""

    method: Annotated[
        Method,
        Option(
            "cascade: compare exactly only the pairs that pass a quick check; join: only those that have passages in "
            "common, found by sorting; exact: every pair.",
            rare=True,
        ),
    ] = "cascade"
    """Method of comparing: "exact" is every lag, every item; "cascade" is that only for pairs which a coarse comparison
    does not exclude, "join" only for pairs that share equal items at one lag. Both give what "exact" gives, or
    nothing."""
    max_lag: Annotated[
        int | None,
        Option("Largest shift to try, in items (8.08 a second).", "ITEMS", 0, 1_000_000, none="all", rare=True),
    ] = None
    """Largest lag in items, either way; None is every lag with enough overlap."""
    min_overlap: Annotated[
        float, Option("Share of the shorter fingerprint that must overlap.", "SHARE", 0, 1, above=True, rare=True)
    ] = 0.25
    min_overlap_items: Annotated[
        int, Option("Items that must overlap, whatever the share; 80 are 9.9 s.", "ITEMS", 1, rare=True)
    ] = 80
    varispeed: Annotated[bool, Option("Find copies at other speeds too; takes longer.")] = True
    """Whether there is a second pass, for other speeds."""
    stretched: bool = False
    """Whether these are the settings of that pass, in which one of two fingerprints is stretched (`other_speeds`)."""

    def record(self) -> dict[str, Any]:
        """What a store keeps of these settings: `CompareSettings(**record)` are equal."""
        return {name: value for name, value in asdict(self).items() if name not in _UNSAID or value != _UNSAID[name]}

    def digest(self) -> str:
        """32 hex digits, a function of the values alone that decide a tile's result: equal settings have equal digests
        on every machine."""
        values = {name: value for name, value in self.record().items() if name != "varispeed"}
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()

    @property
    def passes(self) -> tuple[CompareSettings, ...]:
        """The settings of each pass over the blocks, in the order in which they are made."""
        if not self.varispeed or self.stretched:
            return (self,)
        return self, replace(self, stretched=True)

    @property
    def narrowed(self) -> CompareSettings:
        """How a stretched fingerprint is compared in that pass: by the cascade, as too few items stay equal for the
        join, and not at every lag."""
        overlap, lag = max(VARISPEED_OVERLAP, self.min_overlap), min(self.lag_limit, VARISPEED_LAG)
        return replace(self, method="cascade", max_lag=lag, min_overlap=overlap)

    @property
    def lag_limit(self) -> int:
        """`max_lag` as a number; 2^30 where nothing limits it."""
        return 1 << 30 if self.max_lag is None else self.max_lag


@dataclass(frozen=True)
class MatchSettings(Settings):
    """From which numbers on a stored pair is a match; changing them computes nothing again."""

    max_false: Annotated[
        float,
        Option(
            "Unrelated pairs that may wrongly count as related in the whole library.", "PAIRS", 0, above=True, rare=True
        ),
    ] = 0.01
    min_score: Annotated[
        float | None,
        Option(
            "Score from which two tracks are one recording; 'judged' learns it from you.", "SCORE", 0, 1, none="judged"
        ),
    ] = 0.45
    """Lowest score of one recording, for what agrees throughout; None is just below the lowest that a person
    approved."""
    min_prominence: Annotated[
        float, Option("How far the best lag must stand out from the others.", "SHARE", 0, 0.5, rare=True)
    ] = 0.05
    """Least distance in agreement of the best lag from any lag more than 16 items away."""
    classic: Annotated[
        float | None,
        Option(
            "Match by raw agreement alone, from this share up, as older programs do (0.58).",
            "SHARE",
            0,
            1,
            none="off",
            rare=True,
        ),
    ] = None
    """Raw agreement from which two tracks match, among the pairs that are stored (`match.STORED_KAPPA`)."""


Identity = Literal["recording", "album"]
IDENTITIES: tuple[Identity, ...] = get_args(Identity)


@dataclass(frozen=True)
class KeepSettings(Settings):
    """Which copy of a recording is the one to keep, and what is kept twice on purpose."""

    rules: Annotated[
        tuple[str, ...],
        Option(
            "Rules in order: best, listener, oldest, newest, smallest, largest, or some of band, "
            "lossless, bits, rate, channels, bitrate, album, length, tags, cover, named, folder, oldest (these in this "
            "order are 'best'), newest, largest, smallest, imported, prefer and loved.",
            "RULES",
            name="keep",
            form="rules",
        ),
    ] = ("best",)
    """Names of keep rules and presets (`dedup.groups.keep`), in their order."""
    prefer: Annotated[
        tuple[bytes, ...], Option("Keep the copy below this folder; the first one given wins.", "DIR")
    ] = ()
    """Folders, absolute, whose files are better, best first."""
    protect: Annotated[
        tuple[bytes, ...],
        Option("Keep the copy below this folder, and never touch a file there; a plan remembers it.", "DIR"),
    ] = ()
    """Folders, absolute, in which nothing is ever touched, and whose files win."""
    identity: Annotated[
        Identity, Option("Keep each recording once, or once for each album, disc and track number.")
    ] = "recording"
    companions: Annotated[
        tuple[tuple[bytes, bytes], ...],
        Option("Two folders with the same music on purpose, such as FLAC and MP3.", "DIR1:DIR2", name="companion"),
    ] = ()
    """Pairs of folders, absolute: a file of one is not a copy of a file of the other."""


CopyAction = Literal["quarantine", "trash", "hardlink", "reflink", "delete"]
LossKind = Literal[
    "span",
    "mix",
    "speed",
    "channels",
    "picture",
    "tracks",
    "subtitles",
    "attachments",
    "chapters",
    "cues",
    "lyrics",
    "ratings",
    "sidecars",
    "playlists",
    "listeners",
    "untested",
]
LOSS_KINDS: tuple[LossKind, ...] = get_args(LossKind)
"""What a copy may hold that the kept file lacks, in the order in which it is said: sound of its own, a voice or an
instrument, another speed, more channels, a moving picture, further sound tracks, subtitles, attached files, chapters
and cue sheets, cue points of DJ programs, lyrics, ratings, files beside it that belong to it, playlists that cannot be
rewritten, what a media server cannot give to the kept file; and what nobody has listened to."""


@dataclass(frozen=True)
class PlanSettings(Settings):
    """What is to become of the copies that are not kept."""

    action: Annotated[CopyAction, Option("What to do with the copies that are not kept.")] = "quarantine"
    to: Annotated[
        bytes | None, Option("Folder for quarantined files.", "DIR", shown=".reprise-quarantine in each root")
    ] = None
    """Folder, absolute, for quarantined files; None is one in the root of each."""
    playlists: Annotated[
        tuple[bytes, ...],
        Option("Folder with playlists that may refer to removed files.", "DIR", shown="the library's", rare=True),
    ] = ()
    """Folders, absolute, with playlists; none means the library's roots."""
    merge: Annotated[
        bool, Option("Give the kept file tags, cover, chapters and lyrics that only others have.", rare=True)
    ] = True
    break_albums: Annotated[bool, Option("Remove copies even if a complete album needs them.", rare=True)] = False
    remove_empty_folders: Annotated[bool, Option("Remove folders in which nothing is left.", rare=True)] = False
    auto: Annotated[
        float | None,
        Option(
            "Copies with this score or more go without asking; you decide about lower ones.", "SCORE", 0, 1, none="all"
        ),
    ] = None
    ask: Annotated[
        float | None,
        Option(
            "Copies with this score or more are left to you; lower ones are only listed.", "SCORE", 0, 1, none="all"
        ),
    ] = None
    let_go: Annotated[
        tuple[LossKind, ...],
        Option("Let copies go even if this is lost, such as chapters,speed.", "KINDS", shown="nothing", rare=True),
    ] = ()
    """Kinds of loss that a person allows (`groups.losses`)."""
    protect_loved: Annotated[
        bool,
        Option(
            "Never remove what listeners starred, rated 4 or 5, put into a playlist, bookmarked or shared.", rare=True
        ),
    ] = False
    """Whether a copy that is loved on a media server stays (`servers.attention`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ask is not None and self.auto is not None and self.ask > self.auto:
            raise refused("setting ask", self.ask, f"at most {self.auto}, the value of auto")


GateAction = Literal["import", "ask", "reject"]
"""What becomes of a file that the gate was asked about, if that is not clear from the answer."""


@dataclass(frozen=True)
class GateSettings(Settings):
    """What is to become of a file at the gate where the library has something like it, but not this."""

    on_better: Annotated[GateAction, Option("What to do with a file that is better than the library's copy.")] = "ask"
    on_other: Annotated[
        GateAction, Option("What to do with another version of what the library has: another mix, a part, more.")
    ] = "ask"


@dataclass(frozen=True)
class InboxSettings(Settings):
    """Folders in which files arrive at the gate, and where they go."""

    inbox: Annotated[
        tuple[bytes, ...], Option("Decide also what arrives in this folder, once a file is whole.", "DIR")
    ] = ()
    """Folders, absolute."""
    accept: Annotated[
        bytes | None,
        Option("Move files of an inbox that are to be imported into this folder.", "DIR", shown="they stay"),
    ] = None
    reject: Annotated[
        bytes | None, Option("Move files of an inbox that are not wanted into this folder.", "DIR", shown="they stay")
    ] = None


ACOUSTID_URL, MUSICBRAINZ_URL = "https://api.acoustid.org/v2", "https://musicbrainz.org/ws/2"


@dataclass(frozen=True)
class LookupSettings(Settings):
    """How services on the net are asked what a recording is."""

    acoustid_key: Annotated[
        str | None,
        Option("Your application key for AcoustID (https://acoustid.org/new-application).", "KEY", secret=True),
    ] = None
    acoustid_key_command: Annotated[
        str | None, Option("Command whose first line of output is that key.", "COMMAND", form="command")
    ] = None
    acoustid_key_file: Annotated[
        bytes | None, Option("File whose first line is that key; only you may read it.", "FILE")
    ] = None
    ask_again_days: Annotated[
        float, Option("Days after which a recording that AcoustID did not know is looked up again.", "DAYS", 0)
    ] = 30.0
    acoustid_url: Annotated[str, Option("Address of AcoustID.", "URL", hidden=True)] = ACOUSTID_URL
    musicbrainz_url: Annotated[str, Option("Address of MusicBrainz.", "URL", hidden=True)] = MUSICBRAINZ_URL


TEMPLATE = "$albumartist/$album%if{$multidisc, (Disc $disc)}/$track - $title"


@dataclass(frozen=True)
class OrganizeSettings(Settings):
    """Where files belong."""

    organize_template: Annotated[
        str, Option("Path of a file below its root, by its tags, for `organize`.", "TEMPLATE")
    ] = TEMPLATE


_TRACKS, _PAIRS = (DiscoverSettings, ScanSettings, FingerprintSettings), (CompareSettings, MatchSettings)
_LATER = (KeepSettings, PlanSettings, GateSettings, InboxSettings, LookupSettings, OrganizeSettings)
DECLARED: tuple[type[Settings], ...] = (*_TRACKS, *_PAIRS, *_LATER)
"""The classes above, in the order of the pipeline."""
