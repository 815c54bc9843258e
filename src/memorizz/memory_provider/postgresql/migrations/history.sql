-- The changes of a store's documents, while its history is kept: each with the version that it ended, or none where there
-- was no document before, or that was forgotten; then `seq`, which every document has, is NULL. So a document was, at a time,
-- what the first change after it ended, by `version`; without one it is what stands in the store. Times decide nothing
-- else: clocks jump. `call` is what several changes have in common: the caller's name for it, or the transaction.

CREATE TABLE {history} (
    tenant text NOT NULL,
    id uuid NOT NULL,
    version bigint GENERATED ALWAYS AS IDENTITY,
    changed_at timestamptz NOT NULL,
    operation text NOT NULL,
    actor text,
    call text NOT NULL,
    seq bigint,
    name text,
    memory_id text,
    conversation_id text,
    role text,
    content text,
    importance_score double precision,
    access_count bigint,
    "timestamp" timestamptz,
    created_at timestamptz,
    updated_at timestamptz,
    last_accessed timestamptz,
    expires_at timestamptz,
    valid_from timestamptz,
    valid_until timestamptz,
    metadata jsonb,
    data jsonb,
    pieces uuid,
    {vector} {vector_type}({dimensions}),
    -- Whether the vector is that of this version: where a change has left it as it was, it is the next version's.
    has_vector boolean NOT NULL,
    forgotten boolean NOT NULL DEFAULT false,
    CONSTRAINT {history_key} PRIMARY KEY (tenant, id, version)
);
ALTER TABLE {history} ALTER COLUMN {vector} SET STORAGE EXTERNAL;
-- What a memory held at a time, and what of a tenant has changed since one, or is older than is kept.
CREATE INDEX {history_memory} ON {history} (tenant, memory_id, changed_at);
-- What a call has changed.
CREATE INDEX {history_call} ON {history} (tenant, call);
