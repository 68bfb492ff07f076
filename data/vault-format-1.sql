CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The audit chain. Nothing is ever changed, removed or inserted out of order.
CREATE TABLE events (
  seq       INTEGER PRIMARY KEY CHECK (seq >= 1),
  time_ms   INTEGER NOT NULL,
  actor     TEXT NOT NULL,
  kind      TEXT NOT NULL,
  payload   TEXT NOT NULL,
  prev_hash TEXT NOT NULL CHECK (length(prev_hash) = 64),
  hash      TEXT NOT NULL
) STRICT;

CREATE TRIGGER events_never_change BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END;
CREATE TRIGGER events_never_vanish BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END;
CREATE TRIGGER events_follow_one_another BEFORE INSERT ON events
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events)
  OR NEW.prev_hash <> coalesce((SELECT hash FROM events ORDER BY seq DESC LIMIT 1), printf('%064d', 0))
BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END;

-- The manifest: one row per published file, in the order of publication.
CREATE TABLE files (
  sequence        INTEGER PRIMARY KEY CHECK (sequence >= 1),
  stream          TEXT NOT NULL,
  name            TEXT NOT NULL,
  version         INTEGER NOT NULL CHECK (version >= 1),
  path            TEXT NOT NULL UNIQUE,
  path_key        TEXT NOT NULL UNIQUE,
  window_start_ms INTEGER,
  window_end_ms   INTEGER,
  sha256          TEXT NOT NULL CHECK (length(sha256) = 64),
  size_bytes      INTEGER NOT NULL CHECK (size_bytes >= 1),
  container       TEXT NOT NULL,
  inflated_bytes  INTEGER NOT NULL,
  stored_at_ms    INTEGER NOT NULL,
  provenance      TEXT NOT NULL,
  event_seq       INTEGER NOT NULL REFERENCES events (seq),
  UNIQUE (stream, name, version),
  UNIQUE (stream, name, sha256)
) STRICT;
CREATE INDEX files_by_sha256 ON files (sha256);

CREATE TRIGGER files_never_change BEFORE UPDATE ON files
BEGIN SELECT RAISE(ABORT, 'the manifest is append-only'); END;
CREATE TRIGGER files_never_vanish BEFORE DELETE ON files
BEGIN SELECT RAISE(ABORT, 'the manifest is append-only'); END;
CREATE TRIGGER files_follow_one_another BEFORE INSERT ON files
WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM files)
BEGIN SELECT RAISE(ABORT, 'the manifest is append-only'); END;

-- Every time a source was asked what it has.
CREATE TABLE listings (
  id             INTEGER PRIMARY KEY,
  stream         TEXT NOT NULL,
  asked_start_ms INTEGER NOT NULL,
  asked_end_ms   INTEGER NOT NULL,
  listed_ms      INTEGER NOT NULL,
  outcome        TEXT NOT NULL CHECK (outcome IN ('files', 'empty', 'failed')),
  names          INTEGER NOT NULL,
  names_sha256   TEXT,
  refused        INTEGER NOT NULL DEFAULT 0,
  reason         TEXT,
  event_seq      INTEGER NOT NULL REFERENCES events (seq)
) STRICT;
CREATE INDEX listings_by_stream ON listings (stream, asked_start_ms);

-- What is known of every name that was ever listed or fetched; the coverage ledger is computed from here.
CREATE TABLE entries (
  stream          TEXT NOT NULL,
  name            TEXT NOT NULL,
  window_start_ms INTEGER,
  window_end_ms   INTEGER,
  first_listed_ms INTEGER,
  last_listed_ms  INTEGER,
  first_listing   INTEGER REFERENCES listings (id),
  last_listing    INTEGER REFERENCES listings (id),
  state           TEXT NOT NULL CHECK (state IN ('listed', 'fetched', 'damaged', 'missing', 'expired')),
  PRIMARY KEY (stream, name)
) STRICT, WITHOUT ROWID;

-- What decoding found in a file, so that the index can be counted against it.
CREATE TABLE contents (
  sequence      INTEGER PRIMARY KEY REFERENCES files (sequence),
  records       INTEGER NOT NULL,
  conversations INTEGER NOT NULL,
  problems      INTEGER NOT NULL
) STRICT;

-- Bytes under quarantine/; the same bytes are kept once.
CREATE TABLE quarantine (
  path           TEXT PRIMARY KEY,
  stream         TEXT NOT NULL,
  name           TEXT NOT NULL,
  sha256         TEXT,
  size_bytes     INTEGER NOT NULL,
  reason         TEXT NOT NULL,
  quarantined_ms INTEGER NOT NULL,
  event_seq      INTEGER NOT NULL REFERENCES events (seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX quarantine_by_sha256 ON quarantine (sha256);
