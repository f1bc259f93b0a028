-- Nonces that proofs of possession were made with. `until`: when nothing that bears it would be believed any more.
CREATE TABLE nonces (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_end ON nonces (until);
