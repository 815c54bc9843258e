-- What a schema knows of itself. The tables of the stores are made by store.sql, one after the other.

CREATE TABLE memorizz_migrations (
    version integer CONSTRAINT memorizz_migrations_pkey PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row. `identity` tells this schema from any other, wherever it is connected to from; `version` is that of the facts
-- that may change under an open provider: whoever changes an index, a model, a store or the language moves it on.
-- `text_search_config_before` is set while the words of another language are being replaced. `application_role` is set while
-- row-level security keeps tenants apart: the role that it is made for; `memories_apart` says that it keeps the memories of
-- one tenant apart too. `distributed` says that Citus has spread the stores over several servers, by their tenant.
CREATE TABLE memorizz_settings (
    identity uuid NOT NULL DEFAULT gen_random_uuid(),
    text_search_config text NOT NULL,
    text_search_config_before text,
    application_role text,
    memories_apart boolean NOT NULL DEFAULT false,
    distributed boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX memorizz_settings_one_row ON memorizz_settings ((true));
INSERT INTO memorizz_settings (text_search_config) VALUES ({language});

-- Which model made the vectors. `name` is NULL until a provider with an embedder opens the schema, `current_since` for a
-- model that has never been searched. `cosine_mean` and `cosine_deviation` are those of the cosine similarities between
-- vectors of it, NULL until there are enough to measure them.
CREATE TABLE memorizz_embedding_models (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT memorizz_embedding_models_pkey PRIMARY KEY,
    name text,
    dimensions integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    current_since timestamptz,
    cosine_mean double precision,
    cosine_deviation double precision
);
INSERT INTO memorizz_embedding_models (dimensions, current_since) VALUES ({dimensions}, now());

-- The stores, each with a table of its name. `model` made the vectors that are searched; `standby_model` those of
-- another one, while a change of the model is under way; `m` and `ef_construction` are how its index is built; `pieces` says
-- that some document has had a text longer than a model reads. The history of its documents is whole from `history_since`
-- on, NULL where none is kept, and is kept for `history_retention`, NULL for ever. `policy` says what of it is deleted when it is
-- tidied, NULL for nothing.
CREATE TABLE memorizz_stores (
    id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT memorizz_stores_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT memorizz_stores_name_key UNIQUE,
    spec jsonb NOT NULL,
    model integer NOT NULL CONSTRAINT memorizz_stores_model_fkey REFERENCES memorizz_embedding_models,
    standby_model integer CONSTRAINT memorizz_stores_standby_model_fkey REFERENCES memorizz_embedding_models,
    m integer NOT NULL,
    ef_construction integer NOT NULL,
    pieces boolean NOT NULL DEFAULT false,
    history_since timestamptz,
    history_retention interval,
    policy jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What a store held, and how well it was searched, at the times when `memorizz stats --note` and `memorizz recall --note` noted
-- it; what one of them does not measure is NULL.
CREATE TABLE memorizz_measurements (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT memorizz_measurements_pkey PRIMARY KEY,
    store text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    documents bigint,
    bytes bigint,
    recall double precision,
    median_ms double precision
);

-- Delete the pieces of a text that has been replaced or deleted; the table of a store calls it, or a partition of it. For its
-- owner: whose pieces they are, their document says, and that is gone.
CREATE FUNCTION memorizz_forget_pieces() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    store CONSTANT name := (SELECT relname FROM pg_class WHERE oid = coalesce(pg_partition_root(TG_RELID), TG_RELID));
BEGIN
    EXECUTE format('DELETE FROM %I.%I WHERE (tenant, id, digest) = ($1, $2, $3)', TG_TABLE_SCHEMA,
        'memorizz_' || store || '_parts') USING OLD.tenant, OLD.id, OLD.pieces;
    RETURN NULL;
END;
$$;
REVOKE ALL ON FUNCTION memorizz_forget_pieces() FROM PUBLIC;

-- What a text is split into, a stored text and a question alike: the words of PostgreSQL's parser in a language.
-- Beside these, and without positions, so that they weigh as one mention each:
--   the parts of what is written in one piece (CVE-2026-2332, a/b/nginx.conf, owner/repo#12, camelCase, snake_case);
--   Arabic and Hebrew words without their article, in one spelling of alef, yeh and teh marbuta;
--   pairs of neighbouring characters of scripts without spaces (Han, kana, Hangul, Thai, Lao, Khmer, Myanmar) and of emoji,
--   and the last character of each run alone.
-- All of it in one normal form, without vowel points, directional marks and other characters that are not seen.
-- In PL/pgSQL, which keeps its plans, where one of SQL is planned in every statement that writes a text. It names nothing of
-- the schema, which may be renamed. words.sql has those who call it.
CREATE FUNCTION memorizz_lexemes(given text, language regconfig) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET standard_conforming_strings TO on
AS $function$
DECLARE
    unseen CONSTANT text := '[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670'
        '\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0f\ufeff]+';
    unspaced CONSTANT text := '\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u2600-\u27bf\u2b00-\u2bff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff'
        '\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uaa60-\uaa7f\uac00-\ud7af\uf900-\ufaff'
        '\U0001f000-\U0001faff\U00020000-\U0003ffff';
    -- Of a run of combining marks ten are kept: to put a run in its normal order takes time by its square.
    marks CONSTANT text := '[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a\u07eb-\u07f3'
        '\u0816-\u082d\u0859-\u085b\u0898-\u08ff\u0e38-\u0e3a\u0e48-\u0e4b\u0eb8-\u0ebb\u0ec8-\u0ecb\u0f18-\u0f87'
        '\u135d-\u135f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f\u3099\u309a\ufe20-\ufe2f]';
    punctuation CONSTANT text := '\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f';
    joined CONSTANT text :=
        '[^\s\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f][-._/#@:+=?&%~\\]+[^\s\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]|[a-z][A-Z]|[A-Z][A-Z][a-z]';
    is_ascii CONSTANT boolean := octet_length(given) = char_length(given);
    -- What the parser takes for a tag or an entity of HTML, it leaves out: List<String>, a<b and c>d, x = &y;.
    plain text := translate(given, '<>&', '   ');
    lexemes tsvector;
BEGIN
    IF NOT is_ascii THEN
        plain := regexp_replace(plain, '(' || marks || '{{10}})' || marks || '+', '\1', 'g');
        plain := regexp_replace(normalize(plain, NFKC), unseen, '', 'g');
    END IF;
    lexemes := to_tsvector(language, CASE
        WHEN is_ascii THEN plain
        ELSE regexp_replace(plain, '[' || unspaced || ']+', ' ', 'g')
    END);
    IF plain ~ joined THEN
        lexemes := lexemes || (
            SELECT coalesce(strip(to_tsvector(language, string_agg(
                regexp_replace(
                    regexp_replace(regexp_replace(piece[1], '([A-Z])([A-Z][a-z])', '\1 \2', 'g'), '([a-z0-9])([A-Z])', '\1 \2', 'g'),
                    '[' || punctuation || ']+', ' ', 'g'
                ), ' '
            ))), '')
            FROM regexp_matches(left(plain, 50000), '\S*(?:' || joined || ')\S*', 'g') AS piece
        );
    END IF;
    IF is_ascii THEN
        RETURN lexemes;
    END IF;
    RETURN lexemes
        || (
            SELECT coalesce(strip(to_tsvector(language, string_agg(translate(
                regexp_replace(
                    word[1],
                    '^(?:[\u0648\u0641\u0628\u0643]?\u0627\u0644|\u0644\u0644|[\u05d5\u05e9\u05db\u05d1\u05dc\u05de]?\u05d4)(?=..)',
                    ''
                ),
                U&'\0623\0625\0622\0671\0649\0629', U&'\0627\0627\0627\0627\064a\0647'
            ), ' '))), '')
            FROM regexp_matches(plain, '[\u0621-\u064a\u0671-\u06d3]{{3,}}|[\u05d0-\u05ea]{{3,}}', 'g') AS word
        )
        || (
            SELECT coalesce(array_to_tsvector(array_agg(DISTINCT rtrim(character || next))), '')
            FROM (
                SELECT character, lead(character, 1, '') OVER (ORDER BY place) AS next
                FROM unnest(string_to_array(regexp_replace(plain, '[^' || unspaced || ']+', ' ', 'g'), NULL))
                    WITH ORDINALITY AS characters(character, place)
            ) AS pairs
            WHERE character <> ' '
        );
END
$function$;
