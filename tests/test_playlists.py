"""Playlists: references that move, and not one other byte."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dedup.files.uri import quoted
from dedup.playlists.moves import Moves
from dedup.playlists.nouns import PlaylistError
from dedup.playlists.playlists import (
    MAX_BYTES,
    count_references,
    find_playlists,
    references,
    rewritten,
)

OLD, NEW = b"/music/old/a b.mp3", b"/music/new/c d.flac"


def moved(content: bytes, name: bytes = b"list.m3u", old: bytes = OLD, new: bytes = NEW) -> bytes:
    return rewritten(b"/music/lists/" + name, content, {old: new})


def written(folder: Path, name: str, content: bytes) -> bytes:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return os.fsencode(path)


LINES = {
    "absolute": (b"/music/old/a b.mp3", b"/music/new/c d.flac"),
    "relative": (b"../old/a b.mp3", b"../new/c d.flac"),
    "not normal": (b"/music//lists/../old/./a b.mp3", b"/music/new/c d.flac"),
    "written by Windows": (rb"..\old\a b.mp3", rb"..\new\c d.flac"),
    "from the root of a drive without a letter": (rb"\music\old\a b.mp3", rb"\music\new\c d.flac"),
    "both slashes": (rb"..\old/a b.mp3", b"../new/c d.flac"),
    "URL": (b"file:///music/old/a%20b.mp3", b"file:///music/new/c%20d.flac"),
    "URL with a host": (b"file://localhost/music/old/a%20b.mp3", b"file://localhost/music/new/c%20d.flac"),
    "URL in short": (b"FILE:/music/old/a%20b.mp3", b"FILE:/music/new/c%20d.flac"),
    "URL with plain blanks": (b"file:///music/old/a b.mp3", b"file:///music/new/c d.flac"),
}


@pytest.mark.parametrize("style", LINES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_line_keeps_its_style(style: str, end: bytes, bom: bytes) -> None:
    old, new = LINES[style]
    head = b"#EXTM3U" + end + b"#EXTINF:12,../old/a b.mp3" + end + b"other.mp3 " + end
    tail = b" \t" + end + end + b"../old/a b.mp3.bak" + end + b"# ../old/a b.mp3"
    assert moved(bom + head + old + tail) == bom + head + new + tail
    assert moved(bom + old + end + old) == bom + new + end + new  # two entries stay two


@pytest.mark.parametrize("style", LINES)
def test_pls(style: str) -> None:
    old, new = LINES[style]
    content = b"[playlist]\r\nfile1 = %s\r\nTitle1=../old/a b.mp3\r\nLength1=-1\r\nFile10=%s \r\nNumberOfEntries=2\r\n"
    assert moved(content % (old, old), b"x.PLS") == content % (new, new)


def test_a_name_alone_follows_the_slashes_of_the_others() -> None:
    windows = moved(b"sub\\x.mp3\r\na.mp3\r\n", old=b"/music/lists/a.mp3")
    assert windows == b"sub\\x.mp3\r\n..\\new\\c d.flac\r\n"
    assert moved(b"sub/x.mp3\na.mp3\n", old=b"/music/lists/a.mp3") == b"sub/x.mp3\n../new/c d.flac\n"
    assert moved(b"./a.mp3\n", old=b"/music/lists/a.mp3", new=b"/music/lists/b.mp3") == b"./b.mp3\n"


@pytest.mark.parametrize(
    "line",
    [
        b"http://host/music/old/a b.mp3",
        b"https://host/../old/a b.mp3",
        rb"C:\music\old\a b.mp3",
        rb"\\music\old\a b.mp3",
        b"file:///C:/music/old/a%20b.mp3",
        b"file://host/music/old/a%20b.mp3",
        b"#../old/a b.mp3",
    ],
)
def test_what_is_no_local_file(line: bytes, tmp_path: Path) -> None:
    assert moved(line + b"\n") == line + b"\n"
    assert references(written(tmp_path, "list.m3u", line)) == []


def test_a_stream_manifest_is_no_playlist_of_music(tmp_path: Path) -> None:
    content = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n../old/a b.mp3\n"
    assert moved(content, b"list.m3u8") == content
    assert references(written(tmp_path, "list.m3u8", content)) == []


def test_latin_1_stays_latin_1_as_far_as_it_goes() -> None:
    old, new = "/music/old/é.mp3".encode(), "/music/old/ö \u2013 x.mp3".encode()
    content = b"#EXTINF:1,\xe9\r\n../old/\xe9.mp3\r\n"
    assert moved(content, old=old, new=new) == b"#EXTINF:1,\xe9\r\n../old/\xf6 \x96 x.mp3\r\n"
    beyond = moved(content, old=old, new="/music/日.mp3".encode())
    assert beyond == b"#EXTINF:1,\xe9\r\nfile:///music/%E6%97%A5.mp3\r\n"
    plain = moved(b"#EXTINF:1,\xe9\r\n../old/a b.mp3\r\n", new=new)
    assert plain == b"#EXTINF:1,\xe9\r\n../old/\xf6 \x96 x.mp3\r\n"
    assert moved(b"file:///music/old/\xe9.mp3", old=old, new=new) == b"file:///music/old/%C3%B6%20%E2%80%93%20x.mp3"


def test_raw_bytes_are_taken_as_they_are_where_there_is_such_a_file(tmp_path: Path) -> None:
    raw, utf8 = b"caf\xe9.mp3", "café.mp3".encode()
    assert moved(raw, old=b"/music/lists/" + raw, new=b"/music/lists/\xff.mp3") == b"\xff.mp3"
    assert moved(b"a.mp3", old=b"/music/lists/a.mp3", new=b"/music/\xff.mp3") == b"file:///music/%FF.mp3"
    playlist, folder = written(tmp_path, "list.m3u", raw), os.fsencode(tmp_path) + b"/"
    assert references(playlist) == [folder + raw]
    written(tmp_path, "café.mp3", b"x")
    assert references(playlist) == [folder + utf8]
    assert rewritten(playlist, raw, {folder + utf8: folder + b"b.mp3"}) == b"b.mp3"


def test_a_backslash_in_a_name(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/"
    playlist = written(tmp_path, "list.m3u", rb"AC\DC.mp3")
    assert references(playlist) == [folder + b"AC/DC.mp3"]
    written(tmp_path, r"AC\DC.mp3", b"x")
    assert references(playlist) == [folder + rb"AC\DC.mp3"]
    told = rewritten(playlist, b"a.mp3", {folder + b"a.mp3": folder + rb"AC\DC.mp3"})
    assert told == rb"./AC\DC.mp3"


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (b"/music/lists/#1.mp3", b"./#1.mp3"),
        (b"/music/lists/ x.mp3", b"./ x.mp3"),
        (b"/music/lists/C:/x.mp3", b"./C:/x.mp3"),
        (b"/music/lists/file:/x.mp3", b"./file:/x.mp3"),
        (b"/music/a\nb.mp3", b"file:///music/a%0Ab.mp3"),
        (b"/music/100%25.mp3", b"../100%25.mp3"),
    ],
)
def test_a_path_that_would_be_read_as_something_else(new: bytes, told: bytes) -> None:
    assert moved(b"x/../a.mp3", old=b"/music/lists/a.mp3", new=new) == told
    assert moved(b"[playlist]\nFile1=a.mp3", b"a.pls", b"/music/lists/a.mp3", new) == b"[playlist]\nFile1=" + told


def test_a_name_in_another_normal_form(tmp_path: Path) -> None:
    composed, split = (unicodedata.normalize(form, "é.mp3").encode() for form in ("NFC", "NFD"))
    folder = os.fsencode(tmp_path) + b"/"
    playlist = written(tmp_path, "list.m3u", composed)
    assert rewritten(playlist, composed, {folder + split: folder + b"b.mp3"}) == b"b.mp3"
    assert rewritten(playlist, split, {folder + composed: folder + b"b.mp3"}) == b"b.mp3"
    both = {folder + split: folder + b"s.mp3", folder + composed: folder + b"c.mp3"}
    assert rewritten(playlist, split + b"\n" + composed, both) == b"s.mp3\nc.mp3"
    written(tmp_path, os.fsdecode(composed), b"a file of its own, which stays")
    assert rewritten(playlist, composed, {folder + split: folder + b"b.mp3"}) == composed


XSPF = """<?xml version="1.0" encoding="{encoding}"?>
<!-- <location>../old/a%20b.mp3</location> -->
<playlist version="1" xmlns="http://xspf.org/ns/0/"  >
  <location>../old/a%20b.mp3</location><title>é &amp; ../old/a%20b.mp3</title>
  <trackList>
    <track><location>{text}</location><annotation><![CDATA[../old/a%20b.mp3]]></annotation></track>\r
    <track ><title/><location
    >
      {text}
    </location ><extension application="x"><y:location xmlns:y="urn:y">../old/a%20b.mp3</y:location></extension></track>
  </trackList>
</playlist>
"""

LOCATIONS = {
    "relative": ("../old/a%20b.mp3", "../new/c%20d.flac"),
    "absolute": ("/music/old/a%20b.mp3", "/music/new/c%20d.flac"),
    "URL": ("file:///music/old/a%20b.mp3", "file:///music/new/c%20d.flac"),
    "plain": ("/music/old/a b.mp3", "/music/new/c d.flac"),
    "entities": ("..&#47;old/a&#x20;b.mp3", "../new/c d.flac"),
    "CDATA": ("<![CDATA[../old/a%20b.mp3]]>", "../new/c%20d.flac"),
}


@pytest.mark.parametrize("style", LOCATIONS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "windows-1252", "utf-16"])
def test_xspf_changes_only_the_text_of_a_location(style: str, encoding: str) -> None:
    old, new = LOCATIONS[style]
    document = XSPF.replace("{encoding}", encoding.removesuffix("-sig"))
    before, after = (document.replace("{text}", text).encode(encoding) for text in (old, new))
    assert moved(before, b"list.xspf") == after


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("file:///music/%c3%a9%26%28.mp3", "file:///music/%26%c3%b6%28%29.mp3"),
        ("file:///music/%C3%A9&amp;(.mp3", "file:///music/&amp;%C3%B6().mp3"),
        ("../é&amp;(.mp3", "../&amp;ö().mp3"),
    ],
)
def test_xspf_keeps_the_way_of_percent_signs(old: str, new: str) -> None:
    document = XSPF.replace("{encoding}", "utf-8")
    before, after = (document.replace("{text}", text).encode() for text in (old, new))
    assert moved(before, b"a.xspf", "/music/é&(.mp3".encode(), "/music/&ö().mp3".encode()) == after


def test_xspf_in_latin_1_tells_other_letters_by_number() -> None:
    document = XSPF.replace("{encoding}", "iso-8859-1")
    before = document.replace("{text}", "../é.mp3").encode("iso-8859-1")
    after = moved(before, b"a.xspf", "/music/é.mp3".encode(), "/music/日ö.mp3".encode())
    assert after == document.replace("{text}", "../&#26085;ö.mp3").encode("iso-8859-1")


@pytest.mark.parametrize("location", ["http://host/old/a%20b.mp3", "spotify:track:1", "//music/old/a%20b.mp3"])
def test_xspf_that_refers_to_no_local_file(location: str, tmp_path: Path) -> None:
    content = XSPF.replace("{encoding}", "utf-8").replace("{text}", location).encode()
    assert moved(content, b"a.xspf") == content
    assert references(written(tmp_path, "a.xspf", content)) == []


def test_what_a_relative_path_starts_from_may_be_somewhere_else() -> None:
    based = XSPF.replace("{encoding}", "utf-8").replace("<trackList>", '<trackList xml:base="file:///x/">')
    content = based.replace("{text}", "../old/a%20b.mp3").encode()
    assert moved(content, b"a.xspf") == content


def test_a_comment_inside_a_location_is_not_lost() -> None:
    content = XSPF.replace("{encoding}", "utf-8").replace("{text}", "../old/<!-- x -->a%20b.mp3").encode()
    assert moved(content, b"a.xspf") == content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xspf", b"<playlist><trackList>"),
        ("a.xspf", b""),
        ("a.xspf", b'<?xml version="1.0" encoding="nonsense"?><playlist/>'),
        ("a.m3u", "#EXTM3U\n../old/a b.mp3".encode("utf-16")),
        ("a.pls", b"\0" * 100),
        ("a.wpl", b'<smil><body><seq><media src="a & b.mp3"/></seq></body></smil>'),
        ("a.cue", 'FILE "../old/a b.mp3" WAVE'.encode("utf-16")),
    ],
)
def test_what_cannot_be_read_is_said(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(PlaylistError):
        references(written(tmp_path, name, content))
    with pytest.raises(PlaylistError):
        rewritten(b"/music/" + name.encode(), content, {})


def test_what_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "film.m3u"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(PlaylistError, match="MiB"):
        references(os.fsencode(path))


def test_references_in_order(tmp_path: Path) -> None:
    base = os.fsencode(tmp_path)
    content = b"#EXTM3U\n../b.mp3\nsub/a.mp3\n/x/../y/c.mp3\nhttp://x/\n../b.mp3\n"
    wanted = [base + b"/b.mp3", base + b"/lists/sub/a.mp3", b"/y/c.mp3", base + b"/b.mp3"]
    assert references(written(tmp_path, "lists/a.m3u8", content)) == wanted
    with pytest.raises(FileNotFoundError):
        references(base + b"/none.m3u")


def test_how_often_files_are_referred_to() -> None:
    content = b"../old/a b.mp3\nx.mp3\n/music/old/a b.mp3\n/music/new/c d.flac\n"
    counts = count_references(b"/music/lists/a.m3u", content, Moves({OLD: OLD, NEW: NEW, b"/music/x": b"/music/x"}))
    assert counts == {OLD: 2, NEW: 1}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"../old/a%20b.mp3", b"../new/c%20d.flac"),
        (b"/music/old/a%20b.mp3", b"/music/new/c%20d.flac"),
        (rb"..\old\a%20b.mp3", rb"..\new\c%20d.flac"),
    ],
)
def test_percent_signs_of_plain_lines(line: bytes, told: bytes) -> None:
    assert moved(b"#EXTM3U\n%s\n" % line) == b"#EXTM3U\n%s\n" % told
    assert moved(b"File1=%s\n" % line, b"list.pls") == b"File1=%s\n" % line, "no program writes them there"


def test_percent_signs_keep_the_case_and_the_marks_of_the_old_ones() -> None:
    old, new = "/music/é&(x).mp3".encode(), "/music/ö&(#1) 50%.mp3".encode()
    assert moved(b"../%c3%a9&(x).mp3", old=old, new=new) == b"../%c3%b6&(%231)%2050%25.mp3"
    assert moved(b"../%C3%A9%26%28x%29.mp3", old=old, new=new) == b"../%C3%B6%26%28%231%29%2050%25.mp3"
    assert moved(b"../%E9&(x).mp3", old=old, new=new) == b"../%C3%B6&(%231)%2050%25.mp3"


def test_a_file_with_percent_signs_in_its_name_comes_first(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/"
    playlist = written(tmp_path, "list.m3u", b"a%20b.mp3")
    moves = {folder + b"a b.mp3": folder + b"c d.mp3"}
    assert references(playlist) == [folder + b"a%20b.mp3"], "nothing is there, so it is taken by its letters"
    assert rewritten(playlist, b"a%20b.mp3", moves) == b"c%20d.mp3"
    written(tmp_path, "c%20d.mp3", b"x")
    assert rewritten(playlist, b"a%20b.mp3", moves) == b"file://" + folder + b"c%20d.mp3"
    written(tmp_path, "a%20b.mp3", b"x")
    assert rewritten(playlist, b"a%20b.mp3", moves) == b"a%20b.mp3"
    assert rewritten(playlist, b"a%20b.mp3", {folder + b"a%20b.mp3": folder + b"50%.mp3"}) == b"50%.mp3"


WPL = """<?wpl version="1.0"?>\r
<smil>
  <head><meta name="Generator" content="src=&quot;..\\old\\a b.mp3&quot;"/><title>é ..\\old\\a b.mp3</title></head>
  <body><seq>
    <!-- <media src="..\\old\\a b.mp3"/> -->
    <media src={text} cid="{{12}}" tid='x'/>\r
    <media albumTitle="x > y" src = {text} albumArtist="z"></media><media cid="no source"/>
    <ref src={text}/>
  </seq></body>
</smil>
"""

SOURCES = {
    "written by Windows": (r"..\old\a b.mp3", r"..\new\c d.flac"),
    "plain": ("../old/a b.mp3", "../new/c d.flac"),
    "absolute": ("/music/old/a b.mp3", "/music/new/c d.flac"),
    "entities": ("..&#92;old\\a&#x20;b.mp3", r"..\new\c d.flac"),
    "URL": ("file:///music/old/a%20b.mp3", "file:///music/new/c%20d.flac"),
}


@pytest.mark.parametrize("style", SOURCES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_wpl_and_zpl_change_only_the_source_of_a_medium(style: str, encoding: str, quote: str) -> None:
    old, new = SOURCES[style]
    before = WPL.replace("{text}", f"{quote}{old}{quote}")
    after = before.replace(f"{old}{quote} ", f"{new}{quote} ")  # but not in <ref>
    for name in (b"list.wpl", b"list.ZPL"):
        assert moved(before.encode(encoding), name) == after.encode(encoding)


def test_wpl_escapes_what_xml_cannot_hold() -> None:
    document = WPL.replace("{text}", '"..\\é&amp;b.mp3"').encode()
    old = "/music/é&b.mp3".encode()
    assert b'src="..\\&quot;o&apos; &lt;&amp;.mp3" cid' in moved(document, b"a.wpl", old, b"/music/\"o' <&.mp3")
    assert b'src="file:///music/a%0Ab.mp3" cid' in moved(document, b"a.wpl", old, b"/music/a\nb.mp3")
    assert b'src="file:///music/%FF.mp3" cid' in moved(document, b"a.wpl", old, b"/music/\xff.mp3")


def test_wpl_that_refers_to_windows_drives(tmp_path: Path) -> None:
    content = WPL.replace("{text}", r'"C:\music\old\a b.mp3"').encode()
    assert moved(content, b"a.wpl") == content
    assert references(written(tmp_path, "a.wpl", content)) == []


CUE = (
    b'REM FILE "../old/a b.mp3" WAVE\r\nTITLE "FILE ../old/a b.mp3"\r\n%s\r\n  TRACK 01 AUDIO\r\n    INDEX 01 00:00:00'
)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'FILE "../old/a b.mp3" MP3', b'FILE "../new/c d.flac" MP3'),
        (rb'  file "..\old\a b.mp3" WAVE ', rb'  file "..\new\c d.flac" WAVE '),
        (b"FILE ../old/a b.mp3 WAVE", b'FILE "../new/c d.flac" WAVE'),
        (b"FILE\t/music/old/a b.mp3", b'FILE\t"/music/new/c d.flac"'),
        (b'FILE "../old/a b.mp3"', b'FILE "../new/c d.flac"'),
        (b'FILE "../old/a%20b.mp3" WAVE', b'FILE "../old/a%20b.mp3" WAVE'),
    ],
)
def test_cue_sheets(line: bytes, told: bytes) -> None:
    assert moved(CUE % line, b"Image.cue") == CUE % told
    assert moved(b"\xef\xbb\xbf%s\r%s" % (line, line), b"Image.CUE") == b"\xef\xbb\xbf%s\r%s" % (told, told)


def test_a_name_without_blanks_needs_no_quotes_in_a_cue_sheet() -> None:
    assert moved(b"FILE a.wav WAVE\n", b"x.cue", b"/music/lists/a.wav", b"/music/lists/b.flac") == b"FILE b.flac WAVE\n"


def test_cue_sheets_in_latin_1() -> None:
    old, new = "/music/lists/é.wav".encode(), "/music/lists/ö.flac".encode()
    assert moved(b'FILE "\xe9.wav" WAVE', b"x.cue", old, new) == b'FILE "\xf6.flac" WAVE'


@pytest.mark.parametrize("new", ["/music/lists/日.flac", '/music/lists/12" mix.flac', "/music/lists/a\nb.flac"])
def test_a_name_that_no_cue_sheet_can_hold(new: str) -> None:
    with pytest.raises(PlaylistError, match="cannot name"):
        moved(b'REM \xe9\nFILE "a.wav" WAVE', b"x.cue", b"/music/lists/a.wav", new.encode())


def test_find_playlists(tmp_path: Path) -> None:
    for name in (
        "b.m3u",
        "a/x.XSPF",
        "a/y.m3u8",
        "z.pls",
        "z.zpl",
        ".hidden/x.m3u",
        ".reprise-quarantine/x.m3u",
        "a/x.mp3",
    ):
        written(tmp_path / "music", name, b"x")
    written(tmp_path, "elsewhere/far.m3u", b"x")
    (tmp_path / "music" / "there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "music" / "loop").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "link.m3u").symlink_to(tmp_path / "music" / "b.m3u")
    root = os.fsencode(tmp_path / "music")
    wanted = [root + name for name in (b"/a/x.XSPF", b"/a/y.m3u8", b"/b.m3u", b"/there/far.m3u", b"/z.pls", b"/z.zpl")]
    assert find_playlists([root]) == wanted
    assert find_playlists([root + b"/a", root, root + b"/none", root + b"/../music"]) == wanted
    assert find_playlists([root + b"/.reprise-quarantine"]) == find_playlists([]) == []


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=6).map(
    lambda name: f"{name}.mp3".encode()
) | st.binary(max_size=4).map(lambda name: name.replace(b"/", b"").replace(b"\0", b"") + b".mp3")
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: b"/nowhere/" + b"/".join(names))


def usual(path: bytes) -> bool:
    """Whether there is only one way to read it in a playlist."""
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return not re.search(rb"[\\\r\n]|%[0-9A-Fa-f]{2}", path)


def line_of(path: bytes, style: str, folder: bytes = b"/nowhere/lists") -> bytes:
    relative = b"./" + os.path.relpath(path, folder)
    return {"absolute": path, "relative": relative, "url": b"file://" + quoted(path, b"")}[style]


@given(
    st.lists(st.tuples(PATHS.filter(usual), st.sampled_from(["absolute", "relative", "url"])), max_size=5),
    st.dictionaries(PATHS.filter(usual), PATHS, max_size=3),
    st.sampled_from(["m3u", "pls", "xspf"]),
    st.booleans(),
)
def test_what_moved_is_referred_to_where_it_is_now(
    entries: list[tuple[bytes, str]], moves: dict[bytes, bytes], form: str, some_moved: bool
) -> None:
    """Whatever the names hold, the other lines included; and where nothing moved, nothing changes."""
    if some_moved and entries:
        moves[entries[0][0]] = b"/nowhere/kept #1.flac"
    forms = [unicodedata.normalize("NFC", os.fsdecode(path)) for path in {*moves, *(path for path, _ in entries)}]
    assume(len(forms) == len(set(forms)))
    lines = [line_of(path, style) for path, style in entries]
    content, name = document(lines, form), b"/nowhere/lists/x." + form.encode()
    assert told(content, form) == [path for path, _ in entries]
    after = rewritten(name, content, moves)
    assert told(after, form) == [moves.get(path, path) for path, _ in entries]
    movable = {line for line, (path, _) in zip(content_lines(lines, form), entries, strict=True) if path in moves}
    before_lines, after_lines = content.split(b"\n"), after.split(b"\n")
    assert [b"" if line in movable else line for line in before_lines] == [
        b"" if old in movable else new for old, new in zip(before_lines, after_lines, strict=True)
    ]


def document(lines: list[bytes], form: str) -> bytes:
    head, tail = {
        "m3u": (b"#EXTM3U\n", b"# the end\n"),
        "pls": (b"[playlist]\n", b"NumberOfEntries=0\n"),
        "xspf": (b"<playlist><trackList>\n", b"</trackList></playlist>"),
    }[form]
    return head + b"".join(b"%s\n" % line for line in content_lines(lines, form)) + tail


def content_lines(lines: list[bytes], form: str) -> list[bytes]:
    """The references as they stand in a playlist, a line each."""
    if form == "m3u":
        return lines
    if form == "pls":
        return [b"File%d=%s" % (number, line) for number, line in enumerate(lines)]
    uris = [line if line.startswith(b"file:") else quoted(line, b"") for line in lines]
    return [f"<track><location>{escape(uri.decode())}</location></track>".encode() for uri in uris]


def told(content: bytes, form: str) -> list[bytes]:
    """What a playlist refers to, by the rules of its format alone."""
    if form == "m3u":
        lines = [line for line in re.split(rb"[\r\n]+", content) if line.strip() and not line.startswith(b"#")]
    elif form == "pls":
        lines = [line.split(b"=", 1)[1] for line in re.split(rb"[\r\n]+", content) if line.startswith(b"File")]
    else:
        tree = ElementTree.fromstring(content)
        lines = [(location.text or "").encode() for location in tree.iter("location")]
    return [plain_path(line, is_uri=form == "xspf") for line in lines]


def plain_path(line: bytes, is_uri: bool) -> bytes:
    if line.startswith(b"file://"):
        return os.path.normpath(unquote_to_bytes(line.removeprefix(b"file://")))
    name = unquote_to_bytes(line) if is_uri else line
    return os.path.normpath(os.path.join(b"/nowhere/lists", name))


@given(st.binary(max_size=80), st.sampled_from(["m3u", "m3u8", "pls"]), PATHS)
def test_bytes_that_name_nothing_that_moved_stay(content: bytes, form: str, path: bytes) -> None:
    name = b"/nowhere/x." + form.encode()
    if b"\0" not in content:
        assert rewritten(name, content, {path + b"|": b"/nowhere/kept.mp3"}) == content
        assert not count_references(name, content, Moves({}))
