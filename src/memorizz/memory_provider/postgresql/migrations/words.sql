-- The words of the stored texts, and of the questions: what is made again when a schema changes its language.

-- Who spoke belongs to the words. A tsvector holds 1 MB, so the words are those of the first 200 kB: as many characters as
-- are sure to fit. A document without a text has none.
CREATE OR REPLACE FUNCTION memorizz_words(name text, role text, content text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN coalesce(name, role, content) IS NOT NULL THEN memorizz_lexemes(
        coalesce(name, '') || ' ' || coalesce(role, '') || ' ' || coalesce(left(content, CASE
            WHEN octet_length(left(content, 200000)) <= 200000 THEN 200000
            WHEN octet_length(left(content, 100000)) <= 200000 THEN 100000
            ELSE 50000
        END), ''),
        {language}::regconfig
    ) END;

-- What a question searches for. Words are ORed: a question never holds all the words of its answer. Of a page that is
-- asked, those that it says most often are taken, of equals the first. One character of a script without spaces is
-- searched for wherever a pair begins with it. While the language changes, words of both are searched for, as many of either.
CREATE OR REPLACE FUNCTION memorizz_question(question text, max_words integer) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH lexemes AS MATERIALIZED (
        SELECT lexeme, positions, positions IS NULL AND char_length(lexeme) = 1 AND octet_length(lexeme) > 2 AS is_single
        FROM unnest({lexemes})
    )
    SELECT string_agg(array_to_tsvector(ARRAY[lexeme])::text || CASE WHEN is_single THEN ':*' ELSE '' END, ' | ')::tsquery
    FROM (
        SELECT lexeme, is_single FROM lexemes
        -- The last of a run is in a pair already.
        WHERE NOT (is_single AND lexeme IN (SELECT substr(lexeme, 2) FROM lexemes WHERE char_length(lexeme) = 2))
        ORDER BY coalesce(cardinality(positions), 1) DESC, positions[1], lexeme LIMIT max_words * {languages}
    ) AS asked;
END;
