-- The embedding model can be changed: each model has columns of its own. Which of them is searched, the columns say: those
-- of the first are embedding and embedding_bits, those of number 2 embedding_2 and embedding_2_bits; what ends in _aside
-- is not searched.

-- NULL for a model that has never been searched.
ALTER TABLE memorizz_embedding_models ADD COLUMN current_since timestamptz;
UPDATE memorizz_embedding_models SET current_since = created_at;
ALTER TABLE memorizz_settings DROP COLUMN embedding_model;

ALTER TABLE memorizz_bits
    ADD COLUMN model integer NOT NULL DEFAULT 1
        CONSTRAINT memorizz_bits_model_fkey REFERENCES memorizz_embedding_models ON DELETE CASCADE,
    DROP CONSTRAINT memorizz_bits_pkey,
    ADD CONSTRAINT memorizz_bits_pkey PRIMARY KEY (store, model);
ALTER TABLE memorizz_bits ALTER COLUMN model DROP DEFAULT;

-- No generated columns any more: to add one for another model would write every row again. What is there was made by the
-- server itself and need not be checked.
ALTER TABLE personas
    ALTER COLUMN embedding_bits DROP EXPRESSION,
    ADD CONSTRAINT embedding_bits_check
        CHECK (embedding_bits IS NULL OR embedding_bits = binary_quantize(embedding)::bit({dimensions})) NOT VALID;
ALTER TABLE toolbox
    ALTER COLUMN embedding_bits DROP EXPRESSION,
    ADD CONSTRAINT embedding_bits_check
        CHECK (embedding_bits IS NULL OR embedding_bits = binary_quantize(embedding)::bit({dimensions})) NOT VALID;
ALTER TABLE short_term_memory
    ALTER COLUMN embedding_bits DROP EXPRESSION,
    ADD CONSTRAINT embedding_bits_check
        CHECK (embedding_bits IS NULL OR embedding_bits = binary_quantize(embedding)::bit({dimensions})) NOT VALID;
ALTER TABLE long_term_memory
    ALTER COLUMN embedding_bits DROP EXPRESSION,
    ADD CONSTRAINT embedding_bits_check
        CHECK (embedding_bits IS NULL OR embedding_bits = binary_quantize(embedding)::bit({dimensions})) NOT VALID;
ALTER TABLE conversation_memory
    ALTER COLUMN embedding_bits DROP EXPRESSION,
    ADD CONSTRAINT embedding_bits_check
        CHECK (embedding_bits IS NULL OR embedding_bits = binary_quantize(embedding)::bit({dimensions})) NOT VALID;
ALTER TABLE workflow_memory
    ALTER COLUMN embedding_bits DROP EXPRESSION,
    ADD CONSTRAINT embedding_bits_check
        CHECK (embedding_bits IS NULL OR embedding_bits = binary_quantize(embedding)::bit({dimensions})) NOT VALID;
ALTER TABLE agents
    ALTER COLUMN embedding_bits DROP EXPRESSION,
    ADD CONSTRAINT embedding_bits_check
        CHECK (embedding_bits IS NULL OR embedding_bits = binary_quantize(embedding)::bit({dimensions})) NOT VALID;
