-- What retention removed from the audit trail: each row stands for the rows `first` to `last`, and holds the
-- digest of the last, from which the next one's follows. Neighbors are merged.
CREATE TABLE audit_gaps (
    first  INTEGER PRIMARY KEY,
    last   INTEGER NOT NULL UNIQUE CHECK (last >= first),
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE INDEX audit_by_act ON audit (act, at);
