-- Requests that came with a key of their sender's, for a day: what was asked, as a keyed digest, and what was answered,
-- without secrets. No answer: it is being carried out, or the process ended meanwhile.
CREATE TABLE repeats (
    actor  TEXT NOT NULL,
    key    TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    answer TEXT,
    at     INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX repeats_by_age ON repeats (at);
