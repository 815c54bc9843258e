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
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
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

-- The changes of its documents' parts, each with the vector that it ended, or none where there was no part before (`was`) or it
-- had none. It belongs to the first change of the document behind the version `after`, so that a document of any
-- version had, of each part, what the first change of that which belongs to its end or is later has ended; without one it
-- has what stands in the table of the parts.
CREATE TABLE {parts_history} (
    tenant text NOT NULL,
    id uuid NOT NULL,
    after bigint NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    changed_at timestamptz NOT NULL,
    path text NOT NULL,
    start integer NOT NULL,
    stop integer NOT NULL,
    digest uuid NOT NULL,
    was boolean NOT NULL,
    {vector} {vector_type}({dimensions}),
    CONSTRAINT {parts_history_key} PRIMARY KEY (tenant, id, after, number)
);
ALTER TABLE {parts_history} ALTER COLUMN {vector} SET STORAGE EXTERNAL;
