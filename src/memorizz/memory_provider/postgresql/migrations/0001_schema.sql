-- What a schema knows of itself. The tables of the stores are made by store.sql, one after the other.

CREATE TABLE memorizz_migrations (
    version integer CONSTRAINT memorizz_migrations_pkey PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row. `identity` tells this schema from any other, wherever it is connected to from; `version` is that of the facts
-- that may change under an open provider: whoever changes an index, a model or a store moves it on.
CREATE TABLE memorizz_settings (
    identity uuid NOT NULL DEFAULT gen_random_uuid(),
    text_search_config text NOT NULL,
    version bigint NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX memorizz_settings_one_row ON memorizz_settings ((true));
INSERT INTO memorizz_settings (text_search_config) VALUES ({language});

-- Which model made the vectors. `name` is NULL until a provider with an embedder opens the schema, `current_since` for a
-- model that has never been searched.
CREATE TABLE memorizz_embedding_models (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT memorizz_embedding_models_pkey PRIMARY KEY,
    name text,
    dimensions integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    current_since timestamptz
);
INSERT INTO memorizz_embedding_models (dimensions, current_since) VALUES ({dimensions}, now());

-- The stores, each with a table of its name. `model` made the vectors that are searched; `standby_model` those of
-- another one, while a change of the model is under way; `m` and `ef_construction` are how its index is built.
CREATE TABLE memorizz_stores (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT memorizz_stores_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT memorizz_stores_name_key UNIQUE,
    spec jsonb NOT NULL,
    model integer NOT NULL CONSTRAINT memorizz_stores_model_fkey REFERENCES memorizz_embedding_models,
    standby_model integer CONSTRAINT memorizz_stores_standby_model_fkey REFERENCES memorizz_embedding_models,
    m integer NOT NULL,
    ef_construction integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What a text is split into. Who spoke belongs to the words. A tsvector holds 1 MB, so the words are those of the first
-- 200 kB: as many characters as are sure to fit.
CREATE FUNCTION memorizz_words(name text, role text, content text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector(
        {language}::regconfig,
        coalesce(name, '') || ' ' || coalesce(role, '') || ' ' || coalesce(left(content, CASE
            WHEN octet_length(left(content, 200000)) <= 200000 THEN 200000
            WHEN octet_length(left(content, 100000)) <= 200000 THEN 100000
            ELSE 50000
        END), '')
    );
