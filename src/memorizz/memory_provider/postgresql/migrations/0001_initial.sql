-- The seven stores. They share one set of columns, written once here; a key means the same in each of them.
-- Runs with search_path set to the schema and to the schema of pgvector.

CREATE TABLE memorizz_migrations (
    version integer CONSTRAINT memorizz_migrations_pkey PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Which model made the vectors. `name` is NULL until a provider with an embedder opens the schema; a change of the
-- model adds a row.
CREATE TABLE memorizz_embedding_models (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT memorizz_embedding_models_pkey PRIMARY KEY,
    name text,
    dimensions integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO memorizz_embedding_models (dimensions) VALUES ({dimensions});

CREATE TABLE memorizz_settings (
    text_search_config text NOT NULL,
    embedding_model integer NOT NULL
        CONSTRAINT memorizz_settings_embedding_model_fkey REFERENCES memorizz_embedding_models
);
CREATE UNIQUE INDEX memorizz_settings_one_row ON memorizz_settings ((true));
INSERT INTO memorizz_settings SELECT {language}, id FROM memorizz_embedding_models;

-- How many of the nearest the bits of a store's vectors kept when that was measured; without a row they are not used.
CREATE TABLE memorizz_bits (
    store text CONSTRAINT memorizz_bits_pkey PRIMARY KEY,
    recall double precision NOT NULL,
    rows bigint NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memorizz_store (
    id uuid NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    name text,
    memory_id text,
    conversation_id text,
    role text,
    content text,
    importance_score double precision,
    access_count bigint,
    "timestamp" timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_accessed timestamptz,
    expires_at timestamptz,
    metadata jsonb,
    data jsonb NOT NULL,
    embedding vector({dimensions}),
    -- The signs of the vector: what a large memory is searched by before the best are compared exactly.
    embedding_bits bit({dimensions}) GENERATED ALWAYS AS (binary_quantize(embedding)::bit({dimensions})) STORED,
    -- Who spoke belongs to the words. A tsvector holds 1 MB, so the words are those of the first 200 kB: as many
    -- characters as are sure to fit.
    words tsvector GENERATED ALWAYS AS (
        to_tsvector(
            {language}::regconfig,
            coalesce(name, '') || ' ' || coalesce(role, '') || ' ' || coalesce(left(content, CASE
                WHEN octet_length(left(content, 200000)) <= 200000 THEN 200000
                WHEN octet_length(left(content, 100000)) <= 200000 THEN 100000
                ELSE 50000
            END), '')
        )
    ) STORED
);
-- Vectors do not compress; uncompressed they are read without a detour, and lists that do not ask for them stay fast.
ALTER TABLE memorizz_store ALTER COLUMN embedding SET STORAGE EXTERNAL;

-- The room that fillfactor leaves keeps updates on their page, so that they need not enter the vector index again.
CREATE TABLE personas (LIKE memorizz_store INCLUDING ALL, CONSTRAINT personas_pkey PRIMARY KEY (id))
    WITH (fillfactor = 85);
CREATE TABLE toolbox (LIKE memorizz_store INCLUDING ALL, CONSTRAINT toolbox_pkey PRIMARY KEY (id))
    WITH (fillfactor = 85);
CREATE TABLE short_term_memory (LIKE memorizz_store INCLUDING ALL, CONSTRAINT short_term_memory_pkey PRIMARY KEY (id))
    WITH (fillfactor = 85);
CREATE TABLE long_term_memory (LIKE memorizz_store INCLUDING ALL, CONSTRAINT long_term_memory_pkey PRIMARY KEY (id))
    WITH (fillfactor = 85);
CREATE TABLE conversation_memory (LIKE memorizz_store INCLUDING ALL, CONSTRAINT conversation_memory_pkey PRIMARY KEY (id))
    WITH (fillfactor = 85);
CREATE TABLE workflow_memory (LIKE memorizz_store INCLUDING ALL, CONSTRAINT workflow_memory_pkey PRIMARY KEY (id))
    WITH (fillfactor = 85);
CREATE TABLE agents (LIKE memorizz_store INCLUDING ALL, CONSTRAINT agents_pkey PRIMARY KEY (id))
    WITH (fillfactor = 85);
DROP TABLE memorizz_store;

-- A turn always has its time.
ALTER TABLE conversation_memory
    ALTER COLUMN "timestamp" SET DEFAULT now(),
    ALTER COLUMN "timestamp" SET NOT NULL;
