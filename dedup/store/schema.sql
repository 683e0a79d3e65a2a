-- The catalog, format version 6. FORMAT.md explains every table and invariant.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;

CREATE TABLE block (
    name    TEXT PRIMARY KEY,
    n_rows  INTEGER NOT NULL CHECK (n_rows > 0),
    n_items INTEGER NOT NULL CHECK (n_items >= 0),
    row_digest BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;

CREATE TABLE fingerprint (
    id         INTEGER PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE,
    n_items    INTEGER NOT NULL CHECK (n_items >= 0),
    n_distinct INTEGER NOT NULL CHECK (n_distinct BETWEEN 0 AND n_items),
    block      TEXT REFERENCES block (name),
    row        INTEGER,
    row_digest BLOB NOT NULL DEFAULT x'',
    CHECK ((block IS NULL) = (row IS NULL))
) STRICT;
CREATE UNIQUE INDEX fingerprint_place ON fingerprint (block, row) WHERE block IS NOT NULL;
CREATE INDEX fingerprint_unsealed ON fingerprint (n_items, digest) WHERE block IS NULL;

CREATE TABLE tail (
    fingerprint INTEGER PRIMARY KEY REFERENCES fingerprint (id) ON DELETE CASCADE,
    items       BLOB NOT NULL
) STRICT;

CREATE TABLE audio (
    id          INTEGER PRIMARY KEY,
    stream      BLOB,
    key         TEXT NOT NULL,
    damage      TEXT,
    fingerprint INTEGER NOT NULL REFERENCES fingerprint (id),
    decoded_s   REAL,
    n_bytes     INTEGER,
    cancels     INTEGER,
    width_db    REAL,
    row_digest  BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE INDEX audio_key ON audio (key);
CREATE INDEX audio_fingerprint ON audio (fingerprint);

CREATE TABLE track (
    id           INTEGER PRIMARY KEY,
    path         BLOB NOT NULL UNIQUE,
    root         BLOB NOT NULL,
    volume       BLOB NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    device       INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('present', 'absent', 'imported')),
    partial      BLOB,
    full         BLOB,
    audio        INTEGER REFERENCES audio (id),
    problem_kind TEXT CHECK (problem_kind IN ('failed', 'skipped')),
    problem      TEXT,
    judged_by    TEXT,
    properties   TEXT NOT NULL,
    row_digest   BLOB NOT NULL DEFAULT x'',
    CHECK ((audio IS NULL) = (problem IS NOT NULL)),
    CHECK ((problem IS NULL) = (problem_kind IS NULL)),
    CHECK ((problem IS NULL) = (judged_by IS NULL))
) STRICT;
CREATE INDEX track_size ON track (size, partial);
CREATE INDEX track_audio ON track (audio);

CREATE TABLE probe (
    path       BLOB PRIMARY KEY,
    size       INTEGER NOT NULL,
    mtime_ns   INTEGER NOT NULL,
    partial    BLOB NOT NULL,
    key        TEXT NOT NULL,
    properties TEXT NOT NULL,
    full       BLOB,
    stream     BLOB,
    row_digest BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;

CREATE TABLE tile (
    name     TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    block_a  TEXT NOT NULL REFERENCES block (name),
    block_b  TEXT NOT NULL REFERENCES block (name),
    n_pairs  INTEGER NOT NULL CHECK (n_pairs >= 0),
    pairs    BLOB NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;
CREATE INDEX tile_settings ON tile (settings, name);
CREATE INDEX tile_block_a ON tile (block_a);
CREATE INDEX tile_block_b ON tile (block_b);

CREATE TABLE judgement (
    content_a BLOB,
    content_b BLOB,
    same      INTEGER NOT NULL CHECK (same IN (0, 1)),
    score     REAL,
    judged    TEXT NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (content_a, content_b),
    CHECK (content_a <= content_b)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id        TEXT PRIMARY KEY,
    command   TEXT NOT NULL,
    started   TEXT NOT NULL,
    ended     TEXT,
    outcome   TEXT CHECK (outcome IN ('done', 'stopped', 'failed')),
    exit_code INTEGER,
    why       TEXT,
    seconds   REAL,
    summary   TEXT,
    row_digest BLOB NOT NULL DEFAULT x''
) STRICT;

CREATE TABLE nulltest (
    content_a BLOB,
    content_b BLOB,
    version   INTEGER NOT NULL,
    result    TEXT NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (content_a, content_b),
    CHECK (content_a <= content_b)
) STRICT, WITHOUT ROWID;

CREATE TABLE comparison (
    digest_a BLOB,
    digest_b BLOB,
    settings TEXT,
    kernel   INTEGER NOT NULL,
    pair     BLOB NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (digest_a, digest_b, settings),
    CHECK (digest_a < digest_b)
) STRICT, WITHOUT ROWID;
CREATE INDEX audio_stream ON audio (stream) WHERE stream IS NOT NULL;

CREATE TABLE pitches (
    fingerprint INTEGER PRIMARY KEY REFERENCES fingerprint (id) ON DELETE CASCADE,
    version     INTEGER NOT NULL,
    items       BLOB NOT NULL,
    row_digest  BLOB NOT NULL DEFAULT x''
) STRICT;

CREATE TABLE lookup (
    subject    TEXT,
    service    TEXT,
    asked      TEXT NOT NULL,
    answer     TEXT NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (subject, service)
) STRICT, WITHOUT ROWID;

CREATE TABLE naming (
    subject    TEXT PRIMARY KEY,
    answer     TEXT NOT NULL,
    said       TEXT NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;

CREATE TABLE measurement (
    audio       INTEGER PRIMARY KEY REFERENCES audio (id) ON DELETE CASCADE,
    version     INTEGER NOT NULL,
    used_bits   INTEGER,
    cutoff_hz   INTEGER,
    source_rate INTEGER,
    problem     TEXT,
    row_digest  BLOB NOT NULL DEFAULT x''
) STRICT;

CREATE TABLE backed_up (
    source     TEXT,
    id         TEXT,
    path       BLOB NOT NULL,
    content    BLOB NOT NULL,
    full       BLOB NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('coming', 'kept', 'here')),
    at         TEXT NOT NULL,
    row_digest BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
