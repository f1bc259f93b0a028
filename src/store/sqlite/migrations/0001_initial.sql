-- The first schema. Times are milliseconds since 1970; lists (scopes, roles, networks) are texts
-- separated by one space, which none of their members can contain. Never edit a migration that was
-- released: add the next one.

CREATE TABLE tenants (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE customers (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL REFERENCES tenants (id),
    name       TEXT NOT NULL,
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    UNIQUE (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE principals (
    id          TEXT PRIMARY KEY NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('device', 'user', 'service')),
    tenant      TEXT REFERENCES tenants (id),
    customer    TEXT,
    name        TEXT NOT NULL,
    external_id TEXT,
    roles       TEXT NOT NULL,
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at  INTEGER NOT NULL,
    -- A null tenant would switch the composite foreign key off and leave the customer unchecked.
    CHECK (customer IS NULL OR tenant IS NOT NULL),
    FOREIGN KEY (tenant, customer) REFERENCES customers (tenant, id)
) STRICT;
CREATE UNIQUE INDEX principals_by_external_id ON principals (external_id, kind) WHERE external_id IS NOT NULL;
CREATE INDEX principals_by_age ON principals (created_at, id);
CREATE INDEX principals_by_tenant ON principals (tenant, created_at, id);

CREATE TABLE credentials (
    id           TEXT PRIMARY KEY NOT NULL,
    kind         TEXT NOT NULL,
    principal    TEXT NOT NULL REFERENCES principals (id),
    name         TEXT NOT NULL,
    public_id    TEXT,
    keyed_digest BLOB CHECK (length(keyed_digest) = 32),
    lookup_key   TEXT,
    slow_digest  TEXT,
    scopes       TEXT NOT NULL,
    permission   TEXT NOT NULL,
    networks     TEXT NOT NULL,
    transport    TEXT NOT NULL CHECK (transport IN ('any', 'https_only')),
    enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    expires_at   INTEGER,
    revoked_at   INTEGER,
    created_at   INTEGER NOT NULL,
    CHECK ((keyed_digest IS NULL) = (lookup_key IS NULL))
) STRICT;
CREATE UNIQUE INDEX credentials_by_digest ON credentials (keyed_digest, kind) WHERE keyed_digest IS NOT NULL;
-- A password may be replaced under the same user name, so revoked rows give the name free.
CREATE UNIQUE INDEX credentials_by_user_name ON credentials (public_id)
    WHERE kind = 'basic' AND revoked_at IS NULL;
CREATE INDEX credentials_by_public_id
    ON credentials (public_id, kind, (revoked_at IS NOT NULL), created_at, id) WHERE public_id IS NOT NULL;
CREATE INDEX credentials_by_age ON credentials (created_at, id);
CREATE INDEX credentials_by_principal ON credentials (principal, created_at, id);

-- AUTOINCREMENT: a number is never given twice, even after the rows above it were pruned.
CREATE TABLE revocations (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    target_kind TEXT NOT NULL CHECK (target_kind IN ('credential', 'principal', 'tenant', 'all')),
    target_id   TEXT,
    cut_at      INTEGER NOT NULL,
    until_at    INTEGER,
    created_at  INTEGER NOT NULL,
    CHECK ((target_kind = 'all') = (target_id IS NULL))
) STRICT;
CREATE INDEX revocations_by_end ON revocations (until_at) WHERE until_at IS NOT NULL;

CREATE TABLE keys (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    purpose    TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('current', 'previous', 'retired')),
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX keys_one_current ON keys (purpose) WHERE state = 'current';

-- `detail` is kept as the very text that was hashed.
CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    act    TEXT NOT NULL,
    target TEXT NOT NULL,
    origin TEXT,
    detail TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;
-- The end of the chain, so that rows cut off its end are missed.
CREATE TABLE audit_head (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    seq    INTEGER NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;
INSERT INTO audit_head (one, seq, digest) VALUES (1, 0, zeroblob(32));

-- No foreign key: stateless credentials (a JWT's id, the digest of a sealed token) have usage too.
CREATE TABLE usage (
    credential       TEXT PRIMARY KEY NOT NULL,
    first_used_at    INTEGER NOT NULL,
    last_used_at     INTEGER NOT NULL,
    count            INTEGER NOT NULL,
    recent_addresses TEXT NOT NULL
) STRICT;
