-- What people write on things, versions for concurrent changes, and the whole life of a credential.
-- `metadata` and `limits` are JSON; `tags` are words separated by one space, as lists are.

ALTER TABLE tenants ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tenants ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX tenants_by_age ON tenants (created_at, id);

ALTER TABLE customers ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE customers ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE customers ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE customers ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX customers_by_age ON customers (created_at, id);
CREATE INDEX customers_by_tenant ON customers (tenant, created_at, id);

ALTER TABLE principals ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE principals ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE principals ADD COLUMN network TEXT REFERENCES principals (id);
ALTER TABLE principals ADD COLUMN serial TEXT CHECK (serial IS NULL OR network IS NOT NULL);
CREATE UNIQUE INDEX principals_by_serial ON principals (network, serial) WHERE network IS NOT NULL;
CREATE INDEX principals_by_kind ON principals (kind, created_at, id);
CREATE INDEX principals_by_customer ON principals (customer, created_at, id) WHERE customer IS NOT NULL;
CREATE TABLE principal_tags (
    tag        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    principal  TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at, principal)
) STRICT, WITHOUT ROWID;
CREATE INDEX principal_tags_by_principal ON principal_tags (principal);

ALTER TABLE credentials ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE credentials ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE credentials ADD COLUMN environment TEXT;
ALTER TABLE credentials ADD COLUMN limits TEXT;
ALTER TABLE credentials ADD COLUMN sealed_secret BLOB;
ALTER TABLE credentials ADD COLUMN replaced_by TEXT;
ALTER TABLE credentials ADD COLUMN deleted_at INTEGER CHECK (deleted_at IS NULL OR revoked_at IS NOT NULL);
-- The principal's tenant and customer, kept here so that their credentials can be listed by an index.
ALTER TABLE credentials ADD COLUMN tenant TEXT;
ALTER TABLE credentials ADD COLUMN customer TEXT;
UPDATE credentials SET (tenant, customer) =
    (SELECT p.tenant, p.customer FROM principals p WHERE p.id = credentials.principal);
CREATE INDEX credentials_by_tenant ON credentials (tenant, created_at, id) WHERE tenant IS NOT NULL;
CREATE INDEX credentials_by_customer ON credentials (customer, created_at, id) WHERE customer IS NOT NULL;
CREATE INDEX credentials_by_kind ON credentials (kind, created_at, id);
CREATE INDEX credentials_by_name ON credentials (name, id);
CREATE INDEX credentials_by_end ON credentials (expires_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX credentials_by_environment ON credentials (environment, created_at, id)
    WHERE environment IS NOT NULL;
CREATE INDEX credentials_revoked ON credentials (created_at, id) WHERE revoked_at IS NOT NULL;
CREATE INDEX credentials_disabled ON credentials (created_at, id) WHERE enabled = 0;
CREATE INDEX credentials_replaced ON credentials (created_at, id) WHERE replaced_by IS NOT NULL;
CREATE INDEX credentials_deleted ON credentials (deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE TABLE credential_tags (
    tag        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    credential TEXT NOT NULL REFERENCES credentials (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at, credential)
) STRICT, WITHOUT ROWID;
CREATE INDEX credential_tags_by_credential ON credential_tags (credential);

-- A row can also say that its target was changed and remembered verdicts about it are void.
ALTER TABLE revocations ADD COLUMN effect TEXT NOT NULL DEFAULT 'ends' CHECK (effect IN ('ends', 'changes'));

ALTER TABLE usage ADD COLUMN recent_agents TEXT NOT NULL DEFAULT '[]';
-- How far the import of a file came, written in the transaction of its last batch. `source` is a digest of the file.
CREATE TABLE imports (
    source   TEXT PRIMARY KEY NOT NULL,
    position TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
