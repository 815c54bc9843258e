-- What each method of a provider sends, on a schema "public" with vectors of 128 dimensions.
-- Values are bound; here they stand as variables of psql:  \set tenant ''
-- Statements of one paragraph go out in one round trip. Written by `make docs`.

-- store(document)

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "embedding", "embedding_bits", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'embedding'::"public"."vector", :'embedding_bits'::bit(128), :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "embedding" = "excluded"."embedding", "embedding_bits" = "excluded"."embedding_bits", "name" = "excluded"."name", "data" = (d.data - '{name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- store(document with id)

SELECT d.id, d."name", d.content, d."embedding" IS NOT NULL
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now());

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "embedding", "embedding_bits", "memory_id", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'embedding'::"public"."vector", :'embedding_bits'::bit(128), :'memory_id'::text, :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "embedding" = "excluded"."embedding", "embedding_bits" = "excluded"."embedding_bits", "memory_id" = "excluded"."memory_id", "name" = "excluded"."name", "data" = (d.data - '{content,memory_id,name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- store_many(new documents)

SAVEPOINT memorizz_copy;

COPY "public"."long_term_memory" ("tenant", "id", "data", "embedding", "embedding_bits", "memory_id")
FROM STDIN (FORMAT BINARY);

RELEASE SAVEPOINT memorizz_copy;

-- store_many(documents with ids)

LOCK TABLE "public"."long_term_memory" IN ROW EXCLUSIVE MODE;
SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "memory_id", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'memory_id'::text, :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "memory_id" = "excluded"."memory_id", "name" = "excluded"."name", "embedding" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding" END, "embedding_bits" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding_bits" END, "data" = (d.data - '{content,memory_id,name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING d."embedding" IS NOT NULL;
INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data)
VALUES (:'tenant', :'id', :'data'::jsonb)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "data" = d.data || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- retrieve_by_id

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.tenant = :'tenant'::text AND d.id = :'id'::uuid);

-- retrieve_by_name

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.name = :'name'
ORDER BY d.created_at DESC, d.seq DESC
LIMIT 1;

-- update_by_id

UPDATE "public"."long_term_memory" AS d
SET "content" = :'content'::text, "embedding" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN :'embedding'::"public"."vector" END, "embedding_bits" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN :'embedding_bits'::bit(128) END, "data" = (d.data - '{content}'::text[]) || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING d."embedding" IS NOT NULL;

-- retrieve_by_query(filter)

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d."memory_id" = :'f0'::text AND (jsonb_typeof((d."data" -> :'f1'::text)) = jsonb_typeof(:'f2'::jsonb) AND (d."data" -> :'f1'::text) >= :'f2'::jsonb) AND (d."name" = :'f3'::text OR ((d."data" -> :'f4'::text) ? :'f5'::text OR (jsonb_typeof((d."data" -> :'f4'::text)) = 'string' AND strpos((d."data" -> :'f4'::text) #>> '{}', :'f5'::text) > 0))))
ORDER BY d.created_at, d.seq
LIMIT :'limit';

-- retrieve_by_query(embedding)

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, NULL::bigint AS seen, NULL::float8[] AS distances
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND "d"."embedding" IS NOT NULL
ORDER BY ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT :'wide';

-- retrieve_by_query(embedding, exact=True)

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND "d"."embedding" IS NOT NULL OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
) AS near JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id"
ORDER BY near.distance, near.seq
LIMIT :'limit';

-- retrieve_by_query(embedding and filter), many rows that match

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", CASE WHEN d.seen <= 1000 THEN ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") END AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
SELECT *, count(*) OVER () AS seen
FROM (SELECT "d"."id", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."seq", "d"."embedding"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
LIMIT 1000 + 1) AS d
) AS d
ORDER BY distance, d.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, NULL::bigint AS seen, NULL::float8[] AS distances
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
ORDER BY ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT :'wide';

-- retrieve_by_query(words)

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH asked AS MATERIALIZED (
SELECT string_agg(array_to_tsvector(ARRAY[lexeme])::text, ' | ')::tsquery AS words
FROM (
SELECT lexeme
FROM unnest(to_tsvector(:'config'::regconfig, :'question'))
ORDER BY cardinality(positions) DESC, positions[1]
LIMIT :'max_words'
    ) AS lexemes
), with_words AS MATERIALIZED (
SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND d.words @@ (SELECT words
FROM asked)
ORDER BY ts_rank(d.words, (SELECT words
FROM asked), 0) DESC, d.seq
LIMIT :'depth'
), candidate AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score,
        coalesce(d."timestamp", d.created_at) AS moment, NULL::float8 AS distance, ts_rank(d.words, (SELECT words
FROM asked), 0)::float8 AS rank
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT id
FROM with_words)))
), scored AS MATERIALIZED (
SELECT d.tenant, d.id, seq, memory_id, conversation_id, distance, max(rank) OVER () AS best,
        :'meaning'::float8 * coalesce(1 - distance, 0) AS meaning,
        :'words'::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,
        CASE WHEN regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && :'names'::text[]
            THEN :'speaker'::float8 ELSE 0 END AS speaker,
        :'recency'::float8 * exp(-least(
            ln(2) * greatest(extract(epoch
FROM now()) - extract(epoch
FROM moment), 0) / 86400
                / :'half_life'::float8, 500
        )) AS recency,
        :'importance'::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance
FROM candidate AS d
), ranked AS MATERIALIZED (
SELECT d.tenant, d.id, seq, distance, base + session AS score,
        ARRAY[meaning, words, speaker, session, recency, importance, best] AS parts
FROM (
SELECT *, CASE WHEN conversation_id IS NULL THEN 0
            ELSE :'session'::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session
FROM (SELECT *, meaning + words + speaker + recency + importance AS base
FROM scored) AS summed
    ) AS d
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", near.distance, near.score, near.parts, near.seq, 0::bigint AS seen, NULL::float8[] AS distances
FROM ranked AS near JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id"
ORDER BY near.score DESC, near.seq
LIMIT :'limit';

-- retrieve_by_query(question, touch=True, context=1)

SELECT part
FROM (SELECT d."role" AS label
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND d."role" IS NOT NULL
ORDER BY d.created_at DESC, d.seq DESC
LIMIT 2000) AS d, regexp_split_to_table(lower(d.label), '[^[:alnum:]_]+') AS part
WHERE part = ANY (:'names'::text[]) GROUP BY part HAVING count(*) >= :'least';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
WITH asked AS MATERIALIZED (
SELECT string_agg(array_to_tsvector(ARRAY[lexeme])::text, ' | ')::tsquery AS words
FROM (
SELECT lexeme
FROM unnest(to_tsvector(:'config'::regconfig, :'question'))
ORDER BY cardinality(positions) DESC, positions[1]
LIMIT :'max_words'
    ) AS lexemes
), near_all AS MATERIALIZED (
SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, 0::bigint AS seen
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND "d"."embedding" IS NOT NULL
ORDER BY ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT :'wide'
), near AS MATERIALIZED (SELECT *
FROM near_all
ORDER BY distance, seq
LIMIT :'depth'), with_words AS MATERIALIZED (
SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND d.words @@ (SELECT words
FROM asked)
ORDER BY ts_rank(d.words, (SELECT words
FROM asked), 0) DESC, d.seq
LIMIT :'depth'
), candidate AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score,
        coalesce(d."timestamp", d.created_at) AS moment, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, ts_rank(d.words, (SELECT words
FROM asked), 0)::float8 AS rank
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT id
FROM near
UNION
SELECT id
FROM with_words)))
), scored AS MATERIALIZED (
SELECT d.tenant, d.id, seq, memory_id, conversation_id, distance, max(rank) OVER () AS best,
        :'meaning'::float8 * coalesce(1 - distance, 0) AS meaning,
        :'words'::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,
        CASE WHEN regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && :'names'::text[]
            THEN :'speaker'::float8 ELSE 0 END AS speaker,
        :'recency'::float8 * exp(-least(
            ln(2) * greatest(extract(epoch
FROM now()) - extract(epoch
FROM moment), 0) / 86400
                / :'half_life'::float8, 500
        )) AS recency,
        :'importance'::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance
FROM candidate AS d
), ranked AS MATERIALIZED (
SELECT d.tenant, d.id, seq, distance, base + session AS score,
        ARRAY[meaning, words, speaker, session, recency, importance, best] AS parts
FROM (
SELECT *, CASE WHEN conversation_id IS NULL THEN 0
            ELSE :'session'::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session
FROM (SELECT *, meaning + words + speaker + recency + importance AS base
FROM scored) AS summed
    ) AS d
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", near.distance, near.score, near.parts, near.seq, coalesce((SELECT max(seen)
FROM near), 0) AS seen, ARRAY(SELECT distance
FROM near_all
ORDER BY distance) AS distances
FROM ranked AS near JOIN "public"."conversation_memory" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id"
ORDER BY near.score DESC, near.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH asked AS MATERIALIZED (
SELECT string_agg(array_to_tsvector(ARRAY[lexeme])::text, ' | ')::tsquery AS words
FROM (
SELECT lexeme
FROM unnest(to_tsvector(:'config'::regconfig, :'question'))
ORDER BY cardinality(positions) DESC, positions[1]
LIMIT :'max_words'
    ) AS lexemes
), near AS MATERIALIZED (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND "d"."embedding" IS NOT NULL OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
), with_words AS MATERIALIZED (
SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND d.words @@ (SELECT words
FROM asked)
ORDER BY ts_rank(d.words, (SELECT words
FROM asked), 0) DESC, d.seq
LIMIT :'depth'
), candidate AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score,
        coalesce(d."timestamp", d.created_at) AS moment, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, ts_rank(d.words, (SELECT words
FROM asked), 0)::float8 AS rank
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT id
FROM near
UNION
SELECT id
FROM with_words)))
), scored AS MATERIALIZED (
SELECT d.tenant, d.id, seq, memory_id, conversation_id, distance, max(rank) OVER () AS best,
        :'meaning'::float8 * coalesce(1 - distance, 0) AS meaning,
        :'words'::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,
        CASE WHEN regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && :'names'::text[]
            THEN :'speaker'::float8 ELSE 0 END AS speaker,
        :'recency'::float8 * exp(-least(
            ln(2) * greatest(extract(epoch
FROM now()) - extract(epoch
FROM moment), 0) / 86400
                / :'half_life'::float8, 500
        )) AS recency,
        :'importance'::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance
FROM candidate AS d
), ranked AS MATERIALIZED (
SELECT d.tenant, d.id, seq, distance, base + session AS score,
        ARRAY[meaning, words, speaker, session, recency, importance, best] AS parts
FROM (
SELECT *, CASE WHEN conversation_id IS NULL THEN 0
            ELSE :'session'::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session
FROM (SELECT *, meaning + words + speaker + recency + importance AS base
FROM scored) AS summed
    ) AS d
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", near.distance, near.score, near.parts, near.seq, coalesce((SELECT max(seen)
FROM near), 0) AS seen, NULL::float8[] AS distances
FROM ranked AS near JOIN "public"."conversation_memory" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id"
ORDER BY near.score DESC, near.seq
LIMIT :'limit';

UPDATE "public"."conversation_memory" AS d
SET access_count = coalesce(d.access_count, 0) + 1, last_accessed = clock_timestamp()
FROM (WITH free AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE SKIP LOCKED)
SELECT *
FROM free) AS free
WHERE "d"."tenant" = "free"."tenant" AND "d"."id" = "free"."id"
RETURNING d.tenant, d.id;

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", hit.id AS of, d.place
FROM (SELECT d.*
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))) AS hit
CROSS JOIN LATERAL ((SELECT d.*, -row_number() OVER (ORDER BY d."timestamp" DESC, d.seq DESC) AS place
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.memory_id = hit.memory_id AND (d."timestamp", d.seq) < (hit."timestamp", hit.seq)
ORDER BY d."timestamp" DESC, d.seq DESC
LIMIT :'turns')
UNION ALL (SELECT d.*, row_number() OVER (ORDER BY d."timestamp", d.seq) AS place
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.memory_id = hit.memory_id AND (d."timestamp", d.seq) > (hit."timestamp", hit.seq)
ORDER BY d."timestamp", d.seq
LIMIT :'turns')) AS d
ORDER BY d.place;

-- count(filter)

SELECT count(*)
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d."name" = ANY(:'f0'::text[]) OR d."name" IS NULL);

-- list_all

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE
ORDER BY d.created_at, d.seq
LIMIT :'limit';

-- iterate

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", d.created_at AT TIME ZONE INTERVAL '0', d.seq
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND (d.created_at, d.seq) > (:'created_at'::timestamptz, :'seq'::bigint)
ORDER BY d.created_at, d.seq
LIMIT :'limit';

-- retrieve_conversation_history_ordered_by_timestamp

SELECT d."timestamp" AT TIME ZONE INTERVAL '0', d.seq
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.memory_id = :'memory_id';

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at"
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.memory_id = :'memory_id' AND (d."timestamp", d.seq) < (:'timestamp'::timestamptz, :'seq'::bigint)
ORDER BY d."timestamp" DESC, d.seq DESC
LIMIT :'limit';

-- embed_missing

SELECT d.id, d."name", d.content, coalesce(d.data ->> '_id', d.id::text)
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."embedding" IS NULL AND d.content IS NOT NULL AND (:'after'::uuid IS NULL OR d.id > :'after'::uuid)
ORDER BY d.tenant, d.id
LIMIT :'limit';

-- update_memagent_memory_ids

UPDATE "public"."agents" AS d
SET "data" = d.data || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- delete_memagent(cascade=True)

WITH gone AS (DELETE
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid)
RETURNING d.*), own AS MATERIALIZED (SELECT own.memory_id
FROM gone AS d, LATERAL (SELECT item #>> '{}'
FROM jsonb_array_elements(CASE jsonb_typeof(d.data -> 'memory_ids') WHEN 'array' THEN d.data -> 'memory_ids' END) AS item
WHERE jsonb_typeof(item) = 'string') AS own (memory_id)
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) EXCEPT
SELECT other.memory_id
FROM "public"."agents" AS d, LATERAL (SELECT item #>> '{}'
FROM jsonb_array_elements(CASE jsonb_typeof(d.data -> 'memory_ids') WHEN 'array' THEN d.data -> 'memory_ids' END) AS item
WHERE jsonb_typeof(item) = 'string') AS other (memory_id)
WHERE NOT (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())), "of_personas" AS (DELETE
FROM "public"."personas" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_toolbox" AS (DELETE
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_short_term_memory" AS (DELETE
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_long_term_memory" AS (DELETE
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_conversation_memory" AS (DELETE
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_workflow_memory" AS (DELETE
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1)
SELECT d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()), (SELECT count(*)
FROM "of_personas"), (SELECT count(*)
FROM "of_toolbox"), (SELECT count(*)
FROM "of_short_term_memory"), (SELECT count(*)
FROM "of_long_term_memory"), (SELECT count(*)
FROM "of_conversation_memory"), (SELECT count(*)
FROM "of_workflow_memory")
FROM gone AS d;

-- delete_by_id

DELETE
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid)
RETURNING d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now());

-- delete_by_name

DELETE
FROM "public"."long_term_memory" AS d USING (WITH newest AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.name = :'name'
ORDER BY d.created_at DESC, d.seq DESC
LIMIT 1 FOR UPDATE)
SELECT *
FROM newest) AS newest
WHERE "d"."tenant" = "newest"."tenant" AND "d"."id" = "newest"."id"
RETURNING true;

-- purge_expired

WITH gone AS (DELETE
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.expires_at <= now() AND true
RETURNING 1)
SELECT count(*)
FROM gone;

-- delete_all

WITH gone AS (DELETE
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires_at <= now()
RETURNING 1)
SELECT count(*)
FROM gone;

-- create_store

LOCK TABLE "public"."memorizz_stores" IN SHARE ROW EXCLUSIVE MODE;

SELECT settings.version, store.id, store.name, store.spec, store.m, store.ef_construction, coalesce(index.kind, 'none'),
    model.id, model.name, model.dimensions, model.current_since,
    standby.id, standby.name, standby.dimensions, standby.current_since
FROM "public"."memorizz_settings" AS settings
CROSS JOIN "public"."memorizz_stores" AS store
JOIN "public"."memorizz_embedding_models" AS model ON model.id = store.model
LEFT JOIN "public"."memorizz_embedding_models" AS standby ON standby.id = store.standby_model
LEFT JOIN LATERAL (
SELECT CASE opcname WHEN 'halfvec_cosine_ops' THEN 'halfvec' ELSE 'hnsw' END AS kind
FROM pg_class AS index
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN pg_index ON indexrelid = index.oid AND indisvalid
    JOIN pg_opclass ON pg_opclass.oid = indclass[0]
WHERE nspname = :'schema'
        AND relname = store.name || '_embedding' || CASE WHEN model.id > 1 THEN '_' || model.id ELSE '' END || '_idx'
) AS index ON true
ORDER BY store.id;

-- The table of one store. All stores share these columns, so that a key means the same in each of them.
-- The room that fillfactor leaves keeps updates on their page, so that they need not enter the vector index again.
CREATE TABLE "public"."notes" (
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
    "timestamp" timestamptz ,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    last_accessed timestamptz,
    expires_at timestamptz,
    metadata jsonb,
    data jsonb NOT NULL DEFAULT '{}',
    -- Vectors do not compress; uncompressed they are read without a detour, and lists that do not ask for them stay fast.
    "embedding" "public"."vector"(128),
    -- The signs of the vector: what a large memory is ranked by before the best are compared exactly.
    "embedding_bits" bit(128),
    words tsvector GENERATED ALWAYS AS ("public"."memorizz_words"(name, role, content)) STORED,
    CONSTRAINT "notes_pkey" PRIMARY KEY (tenant, id),
    CONSTRAINT "notes_objects_check" CHECK (jsonb_typeof(data) = 'object' AND jsonb_typeof(metadata) = 'object'),
    CONSTRAINT "embedding_bits_check" CHECK ("embedding_bits" IS NULL OR "embedding_bits" = "public"."binary_quantize"("embedding")::bit(128))
) WITH (fillfactor = 85);
ALTER TABLE "public"."notes" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;;

CREATE INDEX "notes_name_idx" ON "public"."notes" (name, created_at, seq);

CREATE INDEX "notes_memory_id_idx" ON "public"."notes" (memory_id, "timestamp", seq);

CREATE INDEX "notes_conversation_id_idx" ON "public"."notes" (conversation_id)
WHERE conversation_id IS NOT NULL;

CREATE INDEX "notes_created_at_idx" ON "public"."notes" (created_at, seq);

CREATE INDEX "notes_expires_at_idx" ON "public"."notes" (expires_at)
WHERE expires_at IS NOT NULL;

CREATE INDEX "notes_words_idx" ON "public"."notes" USING gin (words);

INSERT INTO "public"."memorizz_stores" (name, spec, model, m, ef_construction)
VALUES (:'name', :'spec'::jsonb, :'model', :'m', :'ef_construction');

UPDATE "public"."memorizz_settings"
SET version = version + 1;

-- retrieve_by_query(embedding and filter), without a vector index

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", CASE WHEN d.seen <= 1000 THEN ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") END AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
SELECT *, count(*) OVER () AS seen
FROM (SELECT "d"."id", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."seq", "d"."embedding"
FROM "public"."notes" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
LIMIT 1000 + 1) AS d
) AS d
ORDER BY distance, d.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM (
SELECT d.tenant, d.id, seq, distance, max(place) OVER () AS seen
FROM (
SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, count(*) OVER (ORDER BY apart) AS place
FROM (
SELECT d.tenant, d.id, seq, "d"."embedding", (coalesce(d."embedding_bits", "public"."binary_quantize"("d"."embedding")::bit(128)) OPERATOR("public".<~>) "public"."binary_quantize"(:'vector'::"public"."vector")::bit(128)) AS apart
FROM "public"."notes" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
ORDER BY apart, seq
LIMIT :'compared'
        ) AS d
ORDER BY distance, seq
LIMIT greatest(:'depth', 12)
    ) AS d
ORDER BY distance, seq
LIMIT :'depth'
) AS near JOIN "public"."notes" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id"
ORDER BY near.distance, near.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."notes" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
) AS near JOIN "public"."notes" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id"
ORDER BY near.distance, near.seq
LIMIT :'limit';

-- drop_store

LOCK TABLE "public"."memorizz_stores" IN SHARE ROW EXCLUSIVE MODE;
SET LOCAL lock_timeout = 200;

DROP TABLE "public"."notes";

DELETE
FROM "public"."memorizz_stores"
WHERE name = :'name';
