-- The table of one store. All stores share these columns, so that a key means the same in each of them.
-- The room that fillfactor leaves keeps updates on their page, so that they need not enter the vector index again. In
-- partitions, each has it.

CREATE TABLE {table} (
    tenant text NOT NULL DEFAULT '',
    id uuid NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    name text,
    memory_id text,
    conversation_id text,
    role text,
    content text,
    importance_score double precision,
    access_count bigint,
    "timestamp" timestamptz {timestamp},
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    last_accessed timestamptz,
    expires_at timestamptz,
    -- Whether it expires at all. An index may go by it: a read that prolongs a lifetime leaves it as it is.
    expires boolean NOT NULL GENERATED ALWAYS AS (expires_at IS NOT NULL) STORED,
    valid_from timestamptz,
    valid_until timestamptz,
    metadata jsonb,
    data jsonb NOT NULL DEFAULT '{{}}',
    -- Vectors do not compress; uncompressed they are read without a detour, and lists that do not ask for them stay fast.
    {vector} {vector_type}({dimensions}),
    -- The signs of the vector: what a large memory is ranked by before the best are compared exactly.
    {bits} bit({dimensions}),
    -- Of a text longer than the model reads: whose parts are its pieces. The vector is that of the first of them.
    pieces uuid,
    words tsvector GENERATED ALWAYS AS ({words}(name, role, content)) STORED,
    CONSTRAINT {primary_key} PRIMARY KEY (tenant, id),
    CONSTRAINT {objects_check} CHECK (jsonb_typeof(data) = 'object' AND jsonb_typeof(metadata) = 'object'),
    CONSTRAINT {validity_check} CHECK (valid_from <= valid_until),
    CONSTRAINT {bits_check} CHECK ({bits} IS NULL OR {bits} = {quantize}({vector})::bit({dimensions}))
) {storage};
ALTER TABLE {table} ALTER COLUMN {vector} SET STORAGE EXTERNAL;
