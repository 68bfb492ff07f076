-- Files with records that no key at hand has opened. A row goes when its file was read again with all keys it needs.
CREATE TABLE encrypted (
  sequence INTEGER PRIMARY KEY REFERENCES files (sequence),
  records  INTEGER NOT NULL CHECK (records >= 1),
  key_ids  TEXT NOT NULL,
  tried    TEXT NOT NULL
) STRICT;
