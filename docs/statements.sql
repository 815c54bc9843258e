-- What each method of a provider sends, on a schema "public" with vectors of 128 dimensions.
-- Values are bound; here they stand as variables of psql:  \set tenant ''
-- Statements of one paragraph go out in one round trip. Written by `make docs`.

-- store(document)

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "embedding", "embedding_bits", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'embedding'::"public"."vector", "public"."binary_quantize"(:'embedding'::"public"."vector")::bit(128), :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "data" = d.data || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- store(document with id)

SELECT d.id, d."name", d.content, d."embedding" IS NOT NULL
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now());

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "embedding", "embedding_bits", "memory_id", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'embedding'::"public"."vector", "public"."binary_quantize"(:'embedding'::"public"."vector")::bit(128), :'memory_id'::text, :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "embedding" = "excluded"."embedding", "embedding_bits" = "excluded"."embedding_bits", "memory_id" = "excluded"."memory_id", "name" = "excluded"."name", "pieces" = "excluded"."pieces", "data" = (d.data - '{content,memory_id,name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- store_many(new documents)

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "embedding", "embedding_bits", "memory_id")
SELECT :'tenant'::text, n.id, n.data, "v"."vector", "public"."binary_quantize"("v"."vector")::bit(128), "n"."memory_id"
FROM unnest(:'id'::uuid[], :'data'::jsonb[], :'memory_id'::text[], :'place'::integer[]) AS n ("id", "data", "memory_id", "place")
CROSS JOIN LATERAL (SELECT CASE WHEN place > 0 THEN (:'vectors'::real[])[(place - 1) * 128 + 1 : place * 128]::"public"."vector" END AS vector OFFSET 0) AS v;

-- store_many(documents with ids)

LOCK TABLE ONLY "public"."long_term_memory" IN ROW EXCLUSIVE MODE;
SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data)
SELECT :'tenant'::text, n.id, n.data
FROM unnest(:'id'::uuid[], :'data'::jsonb[]) AS n ("id", "data")
ON CONFLICT ("tenant", "id") DO NOTHING
RETURNING d.id;
INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "memory_id", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'memory_id'::text, :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "memory_id" = "excluded"."memory_id", "name" = "excluded"."name", "embedding" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding" END, "embedding_bits" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding_bits" END, "pieces" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."pieces" END, "data" = (d.data - '{content,memory_id,name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING d."embedding" IS NOT NULL;

-- store_many(documents with ids and the same keys)

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data)
SELECT :'tenant'::text, n.id, n.data
FROM unnest(:'id'::uuid[], :'data'::jsonb[]) AS n ("id", "data")
WHERE (SELECT bool_and(there)
FROM (SELECT d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AS there
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'id'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE) AS locked) IS NOT FALSE
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "data" = d.data || "excluded"."data", "updated_at" = CASE WHEN d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) THEN clock_timestamp() END
RETURNING true;

-- retrieve_by_id

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.tenant = :'tenant'::text AND d.id = :'id'::uuid);

-- retrieve_by_name

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.name = :'name'
ORDER BY d.created_at DESC, d.seq DESC
LIMIT 1;

-- update_by_id

UPDATE "public"."long_term_memory" AS d
SET "content" = :'content'::text, "embedding" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN :'embedding'::"public"."vector" END, "embedding_bits" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "public"."binary_quantize"(:'embedding'::"public"."vector")::bit(128) END, "pieces" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN :'pieces'::uuid END, "data" = (d.data - '{content}'::text[]) || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE
RETURNING d."embedding" IS NOT NULL;

-- store(document, if_absent=True): as above

-- store(document, supersedes=id)

LOCK TABLE ONLY "public"."long_term_memory" IN ROW EXCLUSIVE MODE;
SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;
SELECT true
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.memory_id IS NOT DISTINCT
FROM (SELECT n.memory_id
FROM "public"."long_term_memory" AS n
WHERE (n.tenant = :'tenant'::text AND n.id = :'new'::uuid)) AND NOT EXISTS (SELECT
FROM "public"."long_term_memory" AS n
WHERE (n.tenant = :'tenant'::text AND n.id = :'new'::uuid) AND n.data ? 'superseded_by');

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "embedding", "embedding_bits")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'embedding'::"public"."vector", "public"."binary_quantize"(:'embedding'::"public"."vector")::bit(128))
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "data" = d.data || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

UPDATE "public"."long_term_memory" AS d
SET valid_until = greatest(d.valid_from, least(d.valid_until, coalesce(n.valid_from, clock.now))), data = (d.data - 'valid_until') || jsonb_build_object('superseded_by', :'name'::text), updated_at = clock_timestamp()
FROM "public"."long_term_memory" AS n, (SELECT now() AS now OFFSET 0) AS clock
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND (n.tenant = :'tenant'::text AND n.id = :'new'::uuid);

-- update

WITH done AS (UPDATE "public"."long_term_memory" AS d
SET "data" = d.data || :'data'::jsonb, "updated_at" = clock_timestamp()
FROM (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d."id" = :'f0'::uuid AND d."data" @> :'f1'::jsonb)
ORDER BY d.tenant, d.id FOR NO KEY UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING 1)
SELECT count(*)
FROM done;

-- update(what is embedded)

SELECT d.id, coalesce(d.data ->> '_id', d.id::text)
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."data" @> :'f0'::jsonb
ORDER BY d.tenant, d.id;

UPDATE "public"."long_term_memory" AS d
SET "name" = :'name'::text, "embedding" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding" END, "embedding_bits" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding_bits" END, "pieces" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."pieces" END, "data" = (d.data - '{name}'::text[]) || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."data" @> :'f0'::jsonb
RETURNING d."embedding" IS NOT NULL;
UPDATE "public"."long_term_memory" AS d
SET "embedding" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN :'embedding'::"public"."vector" END, "embedding_bits" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "public"."binary_quantize"(:'embedding'::"public"."vector")::bit(128) END, "name" = :'name'::text, "pieces" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN :'pieces'::uuid END, "data" = (d.data - '{name}'::text[]) || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."data" @> :'f0'::jsonb
RETURNING d."embedding" IS NOT NULL;

-- retrieve_by_query(filter)

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND (d."memory_id" = :'f0'::text AND (jsonb_typeof((d."data" -> :'f1'::text)) = jsonb_typeof(:'f2'::jsonb) AND (d."data" -> :'f1'::text) >= :'f2'::jsonb) AND (d."name" = :'f3'::text OR ((d."data" -> :'f4'::text) ? :'f5'::text OR (jsonb_typeof((d."data" -> :'f4'::text)) = 'string' AND strpos((d."data" -> :'f4'::text) #>> '{}', :'f5'::text) > 0))))
ORDER BY d."created_at" ASC, d.seq ASC
LIMIT :'limit';

-- retrieve_by_query(filter, order_by, offset)

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text
ORDER BY CASE jsonb_typeof((d."data" -> :'o0'::text)) WHEN 'number' THEN 1 WHEN 'string' THEN 2 WHEN 'boolean' THEN 3 END DESC NULLS LAST, CASE WHEN jsonb_typeof((d."data" -> :'o0'::text)) = 'number' THEN (d."data" -> :'o0'::text)::numeric END DESC NULLS LAST, CASE WHEN jsonb_typeof((d."data" -> :'o0'::text)) IN ('string', 'boolean') THEN (d."data" -> :'o0'::text) #>> '{}' END COLLATE "C" DESC NULLS LAST, d.seq DESC
LIMIT :'limit' OFFSET :'offset';

-- retrieve_by_query(embedding)

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, NULL::bigint AS seen, NULL::float8[] AS distances
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND "d"."embedding" IS NOT NULL
ORDER BY ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT :'wide';

-- retrieve_by_query(embedding, exact=True)

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND "d"."embedding" IS NOT NULL OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id" AND "d".tenant = :'tenant'::text
ORDER BY near.distance, near.seq
LIMIT :'limit';

-- retrieve_by_query(embedding and filter), many rows that match

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", CASE WHEN d.seen <= 1000 THEN ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") END AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
SELECT *, CASE WHEN count(d.pieces) OVER () > 0 THEN -1 ELSE count(*) OVER () END AS seen
FROM (SELECT "d"."id", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."seq", "d"."pieces", "d"."embedding"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
ORDER BY "d"."timestamp", d.seq
LIMIT 1000 + 1) AS d
) AS d
ORDER BY distance, d.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, NULL::bigint AS seen, NULL::float8[] AS distances
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
ORDER BY ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT :'wide';

-- retrieve_by_query(words)

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH with_words AS MATERIALIZED (
SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND d.words @@ "public"."memorizz_question"(:'question', 64)
ORDER BY ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0) DESC, d.seq
LIMIT :'depth'
), candidate AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score, coalesce(d."timestamp", d.created_at) AS moment, CASE WHEN :'asking'::float8 > 0 THEN right(d.content, 200) ~  E'[?\\uff1f\\u061f\\u037e][\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' OR strpos(right(d.content, 200), ';') > 0 AND right(d.content, 200) ~  E'[\\u0370-\\u03ff\\u1f00-\\u1fff][^.!;]*;[\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' END AS asks, CASE WHEN :'time'::float8 > 0 THEN left(d.content, 10000) ~* :'time_words' END AS says_when,
        NULL::float8 AS distance, ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0)::float8 AS rank
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT id
FROM with_words)))
), scored AS (
SELECT d.*, max(rank) OVER () AS best_rank,
        :'meaning'::float8 * coalesce(1 - distance - :'center'::float8, 0) AS meaning,
        :'words'::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,
        CASE WHEN :'speaker'::float8 <> 0 AND regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && :'names'::text[]
            THEN :'speaker'::float8 ELSE 0 END AS speaker,
        CASE WHEN :'recency'::float8 <> 0 THEN :'recency'::float8 * exp(-least(
            ln(2) * greatest(extract(epoch
FROM now()) - extract(epoch
FROM moment), 0) / 86400
                / :'half_life'::float8, 500
        )) ELSE 0 END AS recency,
        :'importance'::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance,
        CASE WHEN says_when THEN :'time'::float8 ELSE 0 END AS time,
        CASE WHEN asks THEN -:'asking'::float8 ELSE 0 END AS asking
FROM candidate AS d
), ranked AS (
SELECT d.*, base + session + neighbours + time + asking AS score
FROM (
SELECT *, 0::float8 AS session, 0::float8 AS neighbours
FROM (SELECT *, meaning + words + speaker + recency + importance AS base
FROM scored) AS summed
    ) AS d
), best AS MATERIALIZED (SELECT *
FROM ranked
ORDER BY score DESC, seq
LIMIT :'limit')
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", best.distance, best.score, ARRAY["best"."meaning", "best"."words", "best"."speaker", "best"."session", "best"."recency", "best"."importance", "best"."neighbours", "best"."time", "best"."asking", "best"."best_rank"] AS parts, best.seq, 0::bigint AS seen,
    NULL::float8[] AS distances
FROM best JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "best"."tenant" AND "d"."id" = "best"."id" AND "d".tenant = :'tenant'::text
ORDER BY best.score DESC, best.seq;

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
WITH near_all AS MATERIALIZED (
SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, 0::bigint AS seen
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND "d"."embedding" IS NOT NULL
ORDER BY ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT :'wide'
), near AS MATERIALIZED (SELECT *
FROM near_all
ORDER BY distance, seq
LIMIT :'depth'), with_words AS MATERIALIZED (
SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND d.words @@ "public"."memorizz_question"(:'question', 64)
ORDER BY ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0) DESC, d.seq
LIMIT :'depth'
), candidate AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score, coalesce(d."timestamp", d.created_at) AS moment, CASE WHEN :'asking'::float8 > 0 THEN right(d.content, 200) ~  E'[?\\uff1f\\u061f\\u037e][\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' OR strpos(right(d.content, 200), ';') > 0 AND right(d.content, 200) ~  E'[\\u0370-\\u03ff\\u1f00-\\u1fff][^.!;]*;[\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' END AS asks, CASE WHEN :'time'::float8 > 0 THEN left(d.content, 10000) ~* :'time_words' END AS says_when,
        ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0)::float8 AS rank
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT id
FROM near
UNION
SELECT id
FROM with_words)))
), scored AS (
SELECT d.*, max(rank) OVER () AS best_rank,
        :'meaning'::float8 * coalesce(1 - distance - :'center'::float8, 0) AS meaning,
        :'words'::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,
        CASE WHEN :'speaker'::float8 <> 0 AND regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && :'names'::text[]
            THEN :'speaker'::float8 ELSE 0 END AS speaker,
        CASE WHEN :'recency'::float8 <> 0 THEN :'recency'::float8 * exp(-least(
            ln(2) * greatest(extract(epoch
FROM now()) - extract(epoch
FROM moment), 0) / 86400
                / :'half_life'::float8, 500
        )) ELSE 0 END AS recency,
        :'importance'::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance,
        CASE WHEN says_when THEN :'time'::float8 ELSE 0 END AS time,
        CASE WHEN asks THEN -:'asking'::float8 ELSE 0 END AS asking
FROM candidate AS d
), ranked AS (
SELECT d.*, base + session + neighbours + time + asking AS score
FROM (
SELECT *, CASE WHEN conversation_id IS NULL THEN 0
            ELSE :'session'::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session,
            CASE WHEN conversation_id IS NULL THEN 0 ELSE :'neighbours'::float8 * coalesce(greatest(
                lag(base) OVER (PARTITION BY memory_id, conversation_id
ORDER BY moment, seq),
                lead(base) OVER (PARTITION BY memory_id, conversation_id
ORDER BY moment, seq)
            ), 0) END AS neighbours
FROM (SELECT *, meaning + words + speaker + recency + importance AS base
FROM scored) AS summed
    ) AS d
), best AS MATERIALIZED (SELECT *
FROM ranked
ORDER BY score DESC, seq
LIMIT :'limit')
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", best.distance, best.score, ARRAY["best"."meaning", "best"."words", "best"."speaker", "best"."session", "best"."recency", "best"."importance", "best"."neighbours", "best"."time", "best"."asking", "best"."best_rank"] AS parts, best.seq, (SELECT max(seen)
FROM near) AS seen,
    ARRAY(SELECT distance
FROM near_all
ORDER BY distance) AS distances
FROM best JOIN "public"."conversation_memory" AS d ON "d"."tenant" = "best"."tenant" AND "d"."id" = "best"."id" AND "d".tenant = :'tenant'::text
ORDER BY best.score DESC, best.seq;

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS MATERIALIZED (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND "d"."embedding" IS NOT NULL OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
), with_words AS MATERIALIZED (
SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND d.words @@ "public"."memorizz_question"(:'question', 64)
ORDER BY ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0) DESC, d.seq
LIMIT :'depth'
), candidate AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score, coalesce(d."timestamp", d.created_at) AS moment, CASE WHEN :'asking'::float8 > 0 THEN right(d.content, 200) ~  E'[?\\uff1f\\u061f\\u037e][\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' OR strpos(right(d.content, 200), ';') > 0 AND right(d.content, 200) ~  E'[\\u0370-\\u03ff\\u1f00-\\u1fff][^.!;]*;[\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' END AS asks, CASE WHEN :'time'::float8 > 0 THEN left(d.content, 10000) ~* :'time_words' END AS says_when,
        ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0)::float8 AS rank
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT id
FROM near
UNION
SELECT id
FROM with_words)))
), scored AS (
SELECT d.*, max(rank) OVER () AS best_rank,
        :'meaning'::float8 * coalesce(1 - distance - :'center'::float8, 0) AS meaning,
        :'words'::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,
        CASE WHEN :'speaker'::float8 <> 0 AND regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && :'names'::text[]
            THEN :'speaker'::float8 ELSE 0 END AS speaker,
        CASE WHEN :'recency'::float8 <> 0 THEN :'recency'::float8 * exp(-least(
            ln(2) * greatest(extract(epoch
FROM now()) - extract(epoch
FROM moment), 0) / 86400
                / :'half_life'::float8, 500
        )) ELSE 0 END AS recency,
        :'importance'::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance,
        CASE WHEN says_when THEN :'time'::float8 ELSE 0 END AS time,
        CASE WHEN asks THEN -:'asking'::float8 ELSE 0 END AS asking
FROM candidate AS d
), ranked AS (
SELECT d.*, base + session + neighbours + time + asking AS score
FROM (
SELECT *, CASE WHEN conversation_id IS NULL THEN 0
            ELSE :'session'::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session,
            CASE WHEN conversation_id IS NULL THEN 0 ELSE :'neighbours'::float8 * coalesce(greatest(
                lag(base) OVER (PARTITION BY memory_id, conversation_id
ORDER BY moment, seq),
                lead(base) OVER (PARTITION BY memory_id, conversation_id
ORDER BY moment, seq)
            ), 0) END AS neighbours
FROM (SELECT *, meaning + words + speaker + recency + importance AS base
FROM scored) AS summed
    ) AS d
), best AS MATERIALIZED (SELECT *
FROM ranked
ORDER BY score DESC, seq
LIMIT :'limit')
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", best.distance, best.score, ARRAY["best"."meaning", "best"."words", "best"."speaker", "best"."session", "best"."recency", "best"."importance", "best"."neighbours", "best"."time", "best"."asking", "best"."best_rank"] AS parts, best.seq, (SELECT max(seen)
FROM near) AS seen,
    NULL::float8[] AS distances
FROM best JOIN "public"."conversation_memory" AS d ON "d"."tenant" = "best"."tenant" AND "d"."id" = "best"."id" AND "d".tenant = :'tenant'::text
ORDER BY best.score DESC, best.seq;

UPDATE "public"."conversation_memory" AS d
SET access_count = coalesce(d.access_count, 0) + 1, last_accessed = free.now, expires_at = CASE WHEN d.expires_at IS NOT NULL AND jsonb_typeof(d.data -> 'ttl') = 'number' THEN to_timestamp(free.seconds + least((d.data ->> 'ttl')::numeric, 31557600000.0)::float8) ELSE d.expires_at END
FROM (WITH free AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
ORDER BY d.tenant, d.id FOR NO KEY UPDATE SKIP LOCKED)
SELECT free.*, statement_timestamp() AS now, extract(epoch
FROM statement_timestamp())::float8 AS seconds
FROM free) AS free
WHERE "d"."tenant" = "free"."tenant" AND "d"."id" = "free"."id" AND "d".tenant = :'tenant'::text
RETURNING d.tenant, d.id;

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", hit.id AS of, d.place
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

SELECT count(*) - (SELECT count(*)
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now() AND (d."name" = ANY(:'f0'::text[]) OR d."name" IS NULL))
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d."name" = ANY(:'f0'::text[]) OR d."name" IS NULL);

-- distinct

SELECT written
FROM (SELECT value, value::text AS written
FROM (SELECT DISTINCT CASE jsonb_typeof(value) WHEN 'array' THEN jsonb_path_query_array(value, '$[0 to $last]', jsonb_build_object('last', :'depth'::int - 1)) ELSE value END AS value
FROM (SELECT DISTINCT CASE WHEN jsonb_typeof((d."metadata" -> :'o0'::text)) IN ('number', 'string', 'boolean', 'array') THEN (d."metadata" -> :'o0'::text) END AS value
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d."metadata" @> :'f0'::jsonb AND jsonb_typeof((d."metadata" -> :'f1'::text)) = 'array' AND (d."metadata" -> :'f1'::text) -> 0 = :'f2'::jsonb AND (d."metadata" -> :'f1'::text) -> 1 = :'f3'::jsonb) AND CASE WHEN jsonb_typeof((d."metadata" -> :'o0'::text)) IN ('number', 'string', 'boolean', 'array') THEN (d."metadata" -> :'o0'::text) END IS NOT NULL) AS whole) AS each OFFSET 0) AS listed
ORDER BY CASE jsonb_typeof(value) WHEN 'number' THEN '1' WHEN 'string' THEN '2' || (value #>> '{}') WHEN 'boolean' THEN '3' || written WHEN 'array' THEN '4' || CASE WHEN written LIKE '["%"]' AND strpos(written, chr(92)) = 0 AND replace(written, '", "', '') NOT LIKE '__%"%__' THEN chr(1) || replace(substr(written, 3, length(written) - 4), '", "', chr(1)) ELSE (SELECT coalesce(string_agg(chr(1) || replace(replace(item, chr(2), chr(2) || chr(2)), chr(1), chr(2) || chr(1)), ''), '')
FROM jsonb_array_elements_text(value) AS item) END END COLLATE "C", CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric END, value
LIMIT :'limit' OFFSET :'offset';

-- distinct(a column)

(SELECT DISTINCT d."conversation_id" AS value
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.expires) AND TRUE AND d."conversation_id" IS NOT NULL
ORDER BY value USING OPERATOR(pg_catalog.~<~)
LIMIT :'limit' OFFSET :'offset')
UNION ALL (SELECT DISTINCT d."conversation_id" AS value
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND d."conversation_id" IS NOT NULL AND EXISTS (SELECT
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.expires)
ORDER BY value USING OPERATOR(pg_catalog.~<~)
LIMIT :'limit' OFFSET :'offset');

-- list_all

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE
ORDER BY d."created_at" ASC, d.seq ASC
LIMIT :'limit';

-- iterate

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", d.created_at AT TIME ZONE INTERVAL '0', d.seq
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND (d.created_at, d.seq) > (:'created_at'::timestamptz, :'seq'::bigint)
ORDER BY d.created_at ASC, d.seq ASC
LIMIT :'limit';

-- retrieve_conversation_history_ordered_by_timestamp

SELECT d."timestamp" AT TIME ZONE INTERVAL '0', d.seq
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND "d"."memory_id" = :'memory_id';

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."conversation_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND "d"."memory_id" = :'memory_id' AND (d."timestamp", d.seq) < (:'timestamp'::timestamptz, :'seq'::bigint)
ORDER BY d."timestamp" DESC, d.seq DESC
LIMIT :'limit';

-- run_many

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.tenant = :'tenant'::text AND d.id = :'id'::uuid);
WITH done AS (UPDATE "public"."long_term_memory" AS d
SET "data" = d.data || :'data'::jsonb, "updated_at" = clock_timestamp()
FROM (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."id" = :'f0'::uuid
ORDER BY d.tenant, d.id FOR NO KEY UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING 1)
SELECT count(*)
FROM done;

-- embed_missing

SELECT d.id, d."name", d.content, coalesce(d.data ->> '_id', d.id::text)
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND NOT ("d"."embedding" IS NOT NULL AND (d.pieces IS NULL OR EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.digest = d.pieces))) AND d.content IS NOT NULL AND (:'after'::uuid IS NULL OR d.id > :'after'::uuid)
ORDER BY d.tenant, d.id
LIMIT :'limit';

-- update_memagent_memory_ids

UPDATE "public"."agents" AS d
SET "data" = d.data || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE
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
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_toolbox" AS (DELETE
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_short_term_memory" AS (DELETE
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_long_term_memory" AS (DELETE
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_conversation_memory" AS (DELETE
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
FROM own))
RETURNING 1), "of_workflow_memory" AS (DELETE
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d.memory_id = ANY (ARRAY(SELECT memory_id
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
FROM "public"."long_term_memory" AS d USING (SELECT now() AS now OFFSET 0) AS clock
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid)
RETURNING d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > clock.now);

-- delete

WITH gone AS (DELETE
FROM "public"."long_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d."memory_id" = :'f0'::text AND d."data" @> :'f1'::jsonb)
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING 1)
SELECT count(*)
FROM gone;

-- delete_by_name

DELETE
FROM "public"."long_term_memory" AS d USING (WITH newest AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.name = :'name'
ORDER BY d.created_at DESC, d.seq DESC
LIMIT 1 FOR UPDATE)
SELECT *
FROM newest) AS newest
WHERE "d"."tenant" = "newest"."tenant" AND "d"."id" = "newest"."id" AND "d".tenant = :'tenant'::text
RETURNING true;

-- forget(memory_id)

SELECT (SELECT version
FROM "public"."memorizz_settings");

SELECT set_config('memorizz.operation', :'operation', true);
DELETE
FROM "public"."personas" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."personas" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."toolbox" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."short_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."long_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."conversation_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."workflow_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."agents" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
SELECT set_config('memorizz.operation', :'operation', true);

UPDATE "public"."agents" AS d
SET updated_at = clock_timestamp(), data = jsonb_set(d.data, '{memory_ids}', (d.data -> 'memory_ids') - :'memory_id'::text)
FROM (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND jsonb_typeof(d.data -> 'memory_ids') = 'array' AND d.data -> 'memory_ids' ? :'memory_id'::text AND true
ORDER BY d.tenant, d.id FOR NO KEY UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);

UPDATE "public"."memorizz_agents_history" AS d
SET data = jsonb_set(d.data, '{memory_ids}', (d.data -> 'memory_ids') - :'memory_id'::text)
WHERE d.tenant = :'tenant'::text AND jsonb_typeof(d.data -> 'memory_ids') = 'array' AND d.data -> 'memory_ids' ? :'memory_id'::text;

WITH gone AS (UPDATE "public"."memorizz_personas_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_personas_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_personas_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."personas" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_personas_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_personas_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_personas_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_personas_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_personas_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_personas_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_toolbox_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_toolbox_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_toolbox_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."toolbox" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_toolbox_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_toolbox_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_toolbox_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_toolbox_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_toolbox_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_toolbox_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_short_term_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_short_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_short_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."short_term_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_short_term_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_short_term_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_short_term_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_short_term_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_short_term_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_short_term_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_long_term_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."long_term_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_long_term_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_long_term_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_long_term_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_long_term_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_conversation_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_conversation_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_conversation_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."conversation_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_conversation_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_conversation_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_conversation_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_conversation_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_conversation_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_conversation_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_workflow_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_workflow_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_workflow_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."workflow_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_workflow_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_workflow_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_workflow_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_workflow_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_workflow_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_workflow_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_agents_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_agents_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_agents_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."agents" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_agents_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_agents_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_agents_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_agents_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_agents_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_agents_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;

SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."personas" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;

-- purge_expired

WITH gone AS (DELETE
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now() AND true
RETURNING 1)
SELECT count(*)
FROM gone;

-- delete_all

WITH gone AS (DELETE
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()
RETURNING 1)
SELECT count(*)
FROM gone;

-- create_store

LOCK TABLE "public"."memorizz_stores" IN SHARE ROW EXCLUSIVE MODE;

SELECT settings.version, store.id, store.name, store.spec, store.m, store.ef_construction, store.pieces,
    store.history_since AT TIME ZONE INTERVAL '0', extract(epoch
FROM store.history_retention)::float8,
    coalesce(index.kind, 'none'),
    model.id, model.name, model.dimensions, model.current_since, model.cosine_mean, model.cosine_deviation,
    standby.id, standby.name, standby.dimensions, standby.current_since,
    EXISTS (
SELECT
FROM pg_class AS index
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        JOIN pg_index ON indexrelid = index.oid AND indisvalid
WHERE nspname = :'schema' AND relname = store.name || '_keys_idx'
    ),
    settings.application_role, settings.memories_apart, settings.distributed, settings.text_search_config
FROM (SELECT *
FROM "public"."memorizz_settings"
LIMIT 1) AS settings
CROSS JOIN "public"."memorizz_stores" AS store
JOIN "public"."memorizz_embedding_models" AS model ON model.id = store.model
LEFT JOIN "public"."memorizz_embedding_models" AS standby ON standby.id = store.standby_model
LEFT JOIN LATERAL (
SELECT CASE indkey[0] WHEN 0 THEN 'halfvec' ELSE 'hnsw' END AS kind
FROM pg_class AS index
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN pg_index ON indexrelid = index.oid AND indisvalid
WHERE nspname = :'schema'
        AND relname = store.name || '_embedding' || CASE WHEN model.id > 1 THEN '_' || model.id ELSE '' END || '_idx'
) AS index ON true
ORDER BY store.id;

-- The table of one store. All stores share these columns, so that a key means the same in each of them.
-- The room that fillfactor leaves keeps updates on their page, so that they need not enter the vector index again. In
-- partitions, each has it.
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
    -- Whether it expires at all. An index may go by it: a read that prolongs a lifetime leaves it as it is.
    expires boolean NOT NULL GENERATED ALWAYS AS (expires_at IS NOT NULL) STORED,
    valid_from timestamptz,
    valid_until timestamptz,
    metadata jsonb,
    data jsonb NOT NULL DEFAULT '{}',
    -- Vectors do not compress; uncompressed they are read without a detour, and lists that do not ask for them stay fast.
    "embedding" "public"."vector"(128),
    -- The signs of the vector: what a large memory is ranked by before the best are compared exactly.
    "embedding_bits" bit(128),
    -- Of a text longer than the model reads: whose parts are its pieces. The vector is that of the first of them.
    pieces uuid,
    words tsvector GENERATED ALWAYS AS ("public"."memorizz_words"(name, role, content)) STORED,
    CONSTRAINT "notes_pkey" PRIMARY KEY (tenant, id),
    CONSTRAINT "notes_objects_check" CHECK (jsonb_typeof(data) = 'object' AND jsonb_typeof(metadata) = 'object'),
    CONSTRAINT "notes_validity_check" CHECK (valid_from <= valid_until),
    CONSTRAINT "embedding_bits_check" CHECK ("embedding_bits" IS NULL OR "embedding_bits" = "public"."binary_quantize"("embedding")::bit(128))
) WITH (fillfactor = 85);
ALTER TABLE "public"."notes" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;;

-- The vectors of the parts of a store's documents: of several fields, of a long text in pieces. `start` and `stop` are
-- where a part begins and ends in the text at its path, `digest` is of its text, or that of the text that it is a piece of:
-- the document's `pieces`. A part without a vector waits for one.
CREATE TABLE "public"."memorizz_notes_parts" (
    tenant text NOT NULL,
    id uuid NOT NULL,
    path text NOT NULL,
    start integer NOT NULL,
    stop integer NOT NULL,
    digest uuid NOT NULL,
    "embedding" "public"."vector"(128),
    CONSTRAINT "memorizz_notes_parts_pkey" PRIMARY KEY (tenant, id, path, start, stop, digest)
) ;
ALTER TABLE "public"."memorizz_notes_parts" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;;

-- Few documents have parts, and the others are to cost nothing: they go when a document that has some gets another text.
CREATE TRIGGER memorizz_replaced AFTER UPDATE ON "public"."notes" FOR EACH ROW
    WHEN (OLD.pieces IS NOT NULL AND OLD.pieces IS DISTINCT
FROM NEW.pieces) EXECUTE FUNCTION "public"."memorizz_forget_pieces"();
CREATE TRIGGER memorizz_deleted AFTER DELETE ON "public"."notes" FOR EACH ROW
    WHEN (OLD.pieces IS NOT NULL) EXECUTE FUNCTION "public"."memorizz_forget_pieces"();;

-- The changes of a store's documents, while its history is kept: each with the version that it ended, or none where there
-- was no document before, or that was forgotten; then `seq`, which every document has, is NULL. So a document was, at a time,
-- what the first change after it ended, by `version`; without one it is what stands in the store. Times decide nothing
-- else: clocks jump. `call` is what several changes have in common: the caller's name for it, or the transaction.
CREATE TABLE "public"."memorizz_notes_history" (
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
    "embedding" "public"."vector"(128),
    -- Whether the vector is that of this version: where a change has left it as it was, it is the next version's.
    has_vector boolean NOT NULL,
    forgotten boolean NOT NULL DEFAULT false,
    CONSTRAINT "memorizz_notes_history_pkey" PRIMARY KEY (tenant, id, version)
);
ALTER TABLE "public"."memorizz_notes_history" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;
-- What a memory held at a time, and what of a tenant has changed since one, or is older than is kept.
CREATE INDEX "memorizz_notes_history_idx" ON "public"."memorizz_notes_history" (tenant, memory_id, changed_at);
-- What a call has changed.
CREATE INDEX "memorizz_notes_call_idx" ON "public"."memorizz_notes_history" (tenant, call);
-- The changes of its documents' parts, each with the vector that it ended, or none where there was no part before (`was`) or it
-- had none. It belongs to the first change of the document behind the version `after`, so that a document of any
-- version had, of each part, what the first change of that which belongs to its end or is later has ended; without one it
-- has what stands in the table of the parts.
CREATE TABLE "public"."memorizz_notes_parts_history" (
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
    "embedding" "public"."vector"(128),
    CONSTRAINT "memorizz_notes_parts_history_pkey" PRIMARY KEY (tenant, id, after, number)
);
ALTER TABLE "public"."memorizz_notes_parts_history" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;;

CREATE INDEX "notes_name_idx" ON "public"."notes" ("tenant", name, created_at, seq)
WHERE name IS NOT NULL;

CREATE INDEX "notes_memory_id_idx" ON "public"."notes" ("tenant", memory_id, "timestamp", seq)
WHERE memory_id IS NOT NULL;

CREATE INDEX "notes_conversation_id_idx" ON "public"."notes" ("tenant", conversation_id text_pattern_ops, "timestamp", seq)
WHERE conversation_id IS NOT NULL;

CREATE INDEX "notes_created_at_idx" ON "public"."notes" ("tenant", created_at, seq);

CREATE INDEX "notes_expires_idx" ON "public"."notes" ("tenant", memory_id)
WHERE expires;

CREATE INDEX "notes_expires_at_idx" ON "public"."notes" USING brin (expires_at)
WHERE expires_at IS NOT NULL;

CREATE INDEX "notes_words_idx" ON "public"."notes" USING gin (words)
WHERE words IS NOT NULL;

INSERT INTO "public"."memorizz_stores" (name, spec, model, m, ef_construction)
VALUES (:'name', :'spec'::jsonb, :'model', :'m', :'ef_construction');

UPDATE "public"."memorizz_settings"
SET version = version + 1;

-- retrieve_by_query(embedding and filter), without a vector index

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", CASE WHEN d.seen <= 1000 THEN ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") END AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
SELECT *, CASE WHEN count(d.pieces) OVER () > 0 THEN -1 ELSE count(*) OVER () END AS seen
FROM (SELECT "d"."id", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."seq", "d"."pieces", "d"."embedding"
FROM "public"."notes" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
ORDER BY "d"."timestamp", d.seq
LIMIT 1000 + 1) AS d
) AS d
ORDER BY distance, d.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS (
SELECT d.tenant, d.id, seq, distance, max(place) FILTER (WHERE nth <= :'sure') OVER () AS seen
FROM (
SELECT *, row_number() OVER (ORDER BY distance, seq) AS nth
FROM (
SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance, count(*) OVER (ORDER BY apart) AS place
FROM (
SELECT d.tenant, d.id, seq, "d"."embedding", d.pieces, (coalesce(d."embedding_bits", "public"."binary_quantize"("d"."embedding")::bit(128)) OPERATOR("public".<~>) "public"."binary_quantize"(:'vector'::"public"."vector")::bit(128)) AS apart
FROM "public"."notes" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL
ORDER BY apart, seq
LIMIT :'compared'
            ) AS d
        ) AS d
ORDER BY distance, seq
LIMIT greatest(:'depth', :'sure')
    ) AS d
ORDER BY distance, seq
LIMIT :'depth'
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN "public"."notes" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id" AND "d".tenant = :'tenant'::text
ORDER BY near.distance, near.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."notes" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text AND "d"."embedding" IS NOT NULL OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN "public"."notes" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id" AND "d".tenant = :'tenant'::text
ORDER BY near.distance, near.seq
LIMIT :'limit';

-- drop_store

SET LOCAL lock_timeout = 200;

DROP TABLE "public"."memorizz_notes_parts_history", "public"."memorizz_notes_history", "public"."memorizz_notes_parts", "public"."notes";

DROP FUNCTION IF EXISTS "public"."memorizz_notes_ids"; DROP FUNCTION IF EXISTS "public"."memorizz_notes_has";

DELETE
FROM "public"."memorizz_stores"
WHERE name = :'name';

-- create_store(fields)

-- The table of one store. All stores share these columns, so that a key means the same in each of them.
-- The room that fillfactor leaves keeps updates on their page, so that they need not enter the vector index again. In
-- partitions, each has it.
CREATE TABLE "public"."pages" (
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
    -- Whether it expires at all. An index may go by it: a read that prolongs a lifetime leaves it as it is.
    expires boolean NOT NULL GENERATED ALWAYS AS (expires_at IS NOT NULL) STORED,
    valid_from timestamptz,
    valid_until timestamptz,
    metadata jsonb,
    data jsonb NOT NULL DEFAULT '{}',
    -- Vectors do not compress; uncompressed they are read without a detour, and lists that do not ask for them stay fast.
    "embedding" "public"."vector"(128),
    -- The signs of the vector: what a large memory is ranked by before the best are compared exactly.
    "embedding_bits" bit(128),
    -- Of a text longer than the model reads: whose parts are its pieces. The vector is that of the first of them.
    pieces uuid,
    words tsvector GENERATED ALWAYS AS ("public"."memorizz_words"(name, role, content)) STORED,
    CONSTRAINT "pages_pkey" PRIMARY KEY (tenant, id),
    CONSTRAINT "pages_objects_check" CHECK (jsonb_typeof(data) = 'object' AND jsonb_typeof(metadata) = 'object'),
    CONSTRAINT "pages_validity_check" CHECK (valid_from <= valid_until),
    CONSTRAINT "embedding_bits_check" CHECK ("embedding_bits" IS NULL OR "embedding_bits" = "public"."binary_quantize"("embedding")::bit(128))
) WITH (fillfactor = 85);
ALTER TABLE "public"."pages" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;;

-- The vectors of the parts of a store's documents: of several fields, of a long text in pieces. `start` and `stop` are
-- where a part begins and ends in the text at its path, `digest` is of its text, or that of the text that it is a piece of:
-- the document's `pieces`. A part without a vector waits for one.
CREATE TABLE "public"."memorizz_pages_parts" (
    tenant text NOT NULL,
    id uuid NOT NULL,
    path text NOT NULL,
    start integer NOT NULL,
    stop integer NOT NULL,
    digest uuid NOT NULL,
    "embedding" "public"."vector"(128),
    CONSTRAINT "memorizz_pages_parts_pkey" PRIMARY KEY (tenant, id, path, start, stop, digest)
) ;
ALTER TABLE "public"."memorizz_pages_parts" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;;

-- Every document has parts.
ALTER TABLE "public"."memorizz_pages_parts" ADD CONSTRAINT "memorizz_pages_parts_fkey" FOREIGN KEY (tenant, id) REFERENCES "public"."pages" ON DELETE CASCADE;;

-- The changes of a store's documents, while its history is kept: each with the version that it ended, or none where there
-- was no document before, or that was forgotten; then `seq`, which every document has, is NULL. So a document was, at a time,
-- what the first change after it ended, by `version`; without one it is what stands in the store. Times decide nothing
-- else: clocks jump. `call` is what several changes have in common: the caller's name for it, or the transaction.
CREATE TABLE "public"."memorizz_pages_history" (
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
    "embedding" "public"."vector"(128),
    -- Whether the vector is that of this version: where a change has left it as it was, it is the next version's.
    has_vector boolean NOT NULL,
    forgotten boolean NOT NULL DEFAULT false,
    CONSTRAINT "memorizz_pages_history_pkey" PRIMARY KEY (tenant, id, version)
);
ALTER TABLE "public"."memorizz_pages_history" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;
-- What a memory held at a time, and what of a tenant has changed since one, or is older than is kept.
CREATE INDEX "memorizz_pages_history_idx" ON "public"."memorizz_pages_history" (tenant, memory_id, changed_at);
-- What a call has changed.
CREATE INDEX "memorizz_pages_call_idx" ON "public"."memorizz_pages_history" (tenant, call);
-- The changes of its documents' parts, each with the vector that it ended, or none where there was no part before (`was`) or it
-- had none. It belongs to the first change of the document behind the version `after`, so that a document of any
-- version had, of each part, what the first change of that which belongs to its end or is later has ended; without one it
-- has what stands in the table of the parts.
CREATE TABLE "public"."memorizz_pages_parts_history" (
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
    "embedding" "public"."vector"(128),
    CONSTRAINT "memorizz_pages_parts_history_pkey" PRIMARY KEY (tenant, id, after, number)
);
ALTER TABLE "public"."memorizz_pages_parts_history" ALTER COLUMN "embedding"
SET STORAGE EXTERNAL;;

CREATE INDEX "pages_name_idx" ON "public"."pages" ("tenant", name, created_at, seq)
WHERE name IS NOT NULL;

CREATE INDEX "pages_memory_id_idx" ON "public"."pages" ("tenant", memory_id, "timestamp", seq)
WHERE memory_id IS NOT NULL;

CREATE INDEX "pages_conversation_id_idx" ON "public"."pages" ("tenant", conversation_id text_pattern_ops, "timestamp", seq)
WHERE conversation_id IS NOT NULL;

CREATE INDEX "pages_created_at_idx" ON "public"."pages" ("tenant", created_at, seq);

CREATE INDEX "pages_expires_idx" ON "public"."pages" ("tenant", memory_id)
WHERE expires;

CREATE INDEX "pages_expires_at_idx" ON "public"."pages" USING brin (expires_at)
WHERE expires_at IS NOT NULL;

CREATE INDEX "pages_words_idx" ON "public"."pages" USING gin (words)
WHERE words IS NOT NULL;

CREATE INDEX "pages_embedding_idx" ON "public"."memorizz_pages_parts" USING hnsw ("embedding" "public"."vector_cosine_ops") WITH (m = 24, ef_construction = 128);

-- store(document with parts)

SELECT d.id, d.path, d.start, d.digest
FROM "public"."memorizz_pages_parts" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d."embedding" IS NOT NULL;

INSERT INTO "public"."pages" AS d ("tenant", "id", data, "content")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "data" = (d.data - '{content}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;
WITH stored AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())), given AS MATERIALIZED (SELECT path, start, stop, digest, CASE WHEN place > 0 THEN (:'vectors'::real[])[(place - 1) * 128 + 1 : place * 128]::"public"."vector" END AS embedding
FROM unnest(:'paths'::text[], :'starts'::integer[], :'stops'::integer[], :'digests'::uuid[], :'places'::integer[]) AS given (path, start, stop, digest, place)), gone AS (DELETE
FROM "public"."memorizz_pages_parts" AS p USING stored
WHERE "p"."tenant" = "stored"."tenant" AND "p"."id" = "stored"."id" AND "p".tenant = :'tenant'::text AND substring(p.path
FROM '^[^.[]+') = ANY (:'roots'::text[]) AND NOT EXISTS (SELECT
FROM given
WHERE given.embedding IS NULL AND (given.path, given.start, given.digest) = (p.path, p.start, p.digest))
RETURNING 1), added AS (INSERT INTO "public"."memorizz_pages_parts" ("tenant", "id", path, start, stop, digest, "embedding")
SELECT "stored"."tenant", "stored"."id", path, start, stop, digest, embedding
FROM stored
CROSS JOIN given
WHERE (SELECT count(*)
FROM gone) >= 0
ON CONFLICT DO NOTHING
RETURNING "embedding" IS NULL AS waits)
SELECT (SELECT count(*)
FROM stored), (SELECT count(*)
FROM added
WHERE waits);

-- update_by_id(a part)

DELETE
FROM "public"."pages"
WHERE false;
SELECT d.id
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;
WITH stored AS MATERIALIZED (UPDATE "public"."pages" AS d
SET "content" = :'content'::text, "data" = (d.data - '{content}'::text[]) || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE
RETURNING d.tenant, d.id), given AS MATERIALIZED (SELECT path, start, stop, digest, CASE WHEN place > 0 THEN (:'vectors'::real[])[(place - 1) * 128 + 1 : place * 128]::"public"."vector" END AS embedding
FROM unnest(:'paths'::text[], :'starts'::integer[], :'stops'::integer[], :'digests'::uuid[], :'places'::integer[]) AS given (path, start, stop, digest, place)), gone AS (DELETE
FROM "public"."memorizz_pages_parts" AS p USING stored
WHERE "p"."tenant" = "stored"."tenant" AND "p"."id" = "stored"."id" AND "p".tenant = :'tenant'::text AND substring(p.path
FROM '^[^.[]+') = ANY (:'roots'::text[]) AND NOT EXISTS (SELECT
FROM given
WHERE given.embedding IS NULL AND (given.path, given.start, given.digest) = (p.path, p.start, p.digest))
RETURNING 1), added AS (INSERT INTO "public"."memorizz_pages_parts" ("tenant", "id", path, start, stop, digest, "embedding")
SELECT "stored"."tenant", "stored"."id", path, start, stop, digest, embedding
FROM stored
CROSS JOIN given
WHERE (SELECT count(*)
FROM gone) >= 0
ON CONFLICT DO NOTHING
RETURNING "embedding" IS NULL AS waits)
SELECT (SELECT count(*)
FROM stored), (SELECT count(*)
FROM added
WHERE waits);

-- update(a part)

SELECT d.id, coalesce(d.data ->> '_id', d.id::text)
FROM "public"."pages" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."id" = :'f0'::uuid
ORDER BY d.tenant, d.id;

DELETE
FROM "public"."pages"
WHERE false;
SELECT d.id
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;
WITH stored AS MATERIALIZED (UPDATE "public"."pages" AS d
SET "content" = :'content'::text, "data" = (d.data - '{content}'::text[]) || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."id" = :'f0'::uuid
RETURNING d.tenant, d.id), given AS MATERIALIZED (SELECT path, start, stop, digest, CASE WHEN place > 0 THEN (:'vectors'::real[])[(place - 1) * 128 + 1 : place * 128]::"public"."vector" END AS embedding
FROM unnest(:'paths'::text[], :'starts'::integer[], :'stops'::integer[], :'digests'::uuid[], :'places'::integer[]) AS given (path, start, stop, digest, place)), gone AS (DELETE
FROM "public"."memorizz_pages_parts" AS p USING stored
WHERE "p"."tenant" = "stored"."tenant" AND "p"."id" = "stored"."id" AND "p".tenant = :'tenant'::text AND substring(p.path
FROM '^[^.[]+') = ANY (:'roots'::text[]) AND NOT EXISTS (SELECT
FROM given
WHERE given.embedding IS NULL AND (given.path, given.start, given.digest) = (p.path, p.start, p.digest))
RETURNING 1), added AS (INSERT INTO "public"."memorizz_pages_parts" ("tenant", "id", path, start, stop, digest, "embedding")
SELECT "stored"."tenant", "stored"."id", path, start, stop, digest, embedding
FROM stored
CROSS JOIN given
WHERE (SELECT count(*)
FROM gone) >= 0
ON CONFLICT DO NOTHING
RETURNING "embedding" IS NULL AS waits)
SELECT (SELECT count(*)
FROM stored), (SELECT count(*)
FROM added
WHERE waits);

-- store(document with parts, if_absent=True)

WITH stored AS MATERIALIZED (INSERT INTO "public"."pages" AS d ("tenant", "id", data, "content")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text)
ON CONFLICT ("tenant", "id") DO NOTHING
RETURNING d.tenant, d.id), given AS MATERIALIZED (SELECT path, start, stop, digest, CASE WHEN place > 0 THEN (:'vectors'::real[])[(place - 1) * 128 + 1 : place * 128]::"public"."vector" END AS embedding
FROM unnest(:'paths'::text[], :'starts'::integer[], :'stops'::integer[], :'digests'::uuid[], :'places'::integer[]) AS given (path, start, stop, digest, place)), gone AS (DELETE
FROM "public"."memorizz_pages_parts" AS p USING stored
WHERE "p"."tenant" = "stored"."tenant" AND "p"."id" = "stored"."id" AND "p".tenant = :'tenant'::text AND substring(p.path
FROM '^[^.[]+') = ANY (:'roots'::text[]) AND NOT EXISTS (SELECT
FROM given
WHERE given.embedding IS NULL AND (given.path, given.start, given.digest) = (p.path, p.start, p.digest))
RETURNING 1), added AS (INSERT INTO "public"."memorizz_pages_parts" ("tenant", "id", path, start, stop, digest, "embedding")
SELECT "stored"."tenant", "stored"."id", path, start, stop, digest, embedding
FROM stored
CROSS JOIN given
WHERE (SELECT count(*)
FROM gone) >= 0
ON CONFLICT DO NOTHING
RETURNING "embedding" IS NULL AS waits)
SELECT (SELECT count(*)
FROM stored), (SELECT count(*)
FROM added
WHERE waits);

-- retrieve_by_query(embedding), parts

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS (
SELECT d.tenant, d.id, d.seq, min(p.distance) AS distance, 0::bigint AS seen
FROM (
SELECT "p"."tenant", "p"."id", ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE true
ORDER BY ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT 1000
    ) AS p JOIN "public"."pages" AS d ON "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE
    GROUP BY d.tenant, d.id, d.seq
ORDER BY distance, d.seq
LIMIT :'wide'
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", (SELECT jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop)
FROM (SELECT p.path, p.start, p.stop, ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL OFFSET 0) AS p
ORDER BY p.distance, p.path, p.start
LIMIT 1) AS part, near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN "public"."pages" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id" AND "d".tenant = :'tenant'::text
ORDER BY near.distance, near.seq;

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, (SELECT min(("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector"))
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL) AS distance
FROM "public"."pages" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND EXISTS (SELECT
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL) OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", (SELECT jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop)
FROM (SELECT p.path, p.start, p.stop, ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL OFFSET 0) AS p
ORDER BY p.distance, p.path, p.start
LIMIT 1) AS part, near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN "public"."pages" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id" AND "d".tenant = :'tenant'::text
ORDER BY near.distance, near.seq
LIMIT :'limit';

-- retrieve_by_query(embedding and filter), parts of many documents that match

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", (SELECT jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop)
FROM (SELECT p.path, p.start, p.stop, ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL OFFSET 0) AS p
ORDER BY p.distance, p.path, p.start
LIMIT 1) AS part, CASE WHEN d.seen <= 1000 THEN (SELECT min(("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector"))
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL) END AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
SELECT *, count(*) OVER () AS seen
FROM (SELECT "d"."id", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."seq", "d"."tenant"
FROM "public"."pages" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text AND EXISTS (SELECT
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL)
ORDER BY "d"."timestamp", d.seq
LIMIT 1000 + 1) AS d
) AS d
ORDER BY distance, d.seq
LIMIT :'limit';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS (
SELECT d.tenant, d.id, d.seq, min(p.distance) AS distance, 0::bigint AS seen
FROM (
SELECT "p"."tenant", "p"."id", ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE true
ORDER BY ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT 1000
    ) AS p JOIN "public"."pages" AS d ON "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text
    GROUP BY d.tenant, d.id, d.seq
ORDER BY distance, d.seq
LIMIT :'wide'
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", (SELECT jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop)
FROM (SELECT p.path, p.start, p.stop, ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL OFFSET 0) AS p
ORDER BY p.distance, p.path, p.start
LIMIT 1) AS part, near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN "public"."pages" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id" AND "d".tenant = :'tenant'::text
ORDER BY near.distance, near.seq;

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near AS (
SELECT d.tenant, d.id, seq, distance, 0::bigint AS seen
FROM (SELECT d.tenant, d.id, seq, (SELECT min(("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector"))
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL) AS distance
FROM "public"."pages" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND d."memory_id" = :'f0'::text AND EXISTS (SELECT
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL) OFFSET 0) AS d
ORDER BY distance, seq
LIMIT :'depth'
)
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", (SELECT jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop)
FROM (SELECT p.path, p.start, p.stop, ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL OFFSET 0) AS p
ORDER BY p.distance, p.path, p.start
LIMIT 1) AS part, near.distance, NULL::float8 AS score, NULL::float8[] AS parts, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN "public"."pages" AS d ON "d"."tenant" = "near"."tenant" AND "d"."id" = "near"."id" AND "d".tenant = :'tenant'::text
ORDER BY near.distance, near.seq
LIMIT :'limit';

-- retrieve_by_query(question), parts

SELECT part
FROM (SELECT d."name" AS label
FROM "public"."pages" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE AND d."name" IS NOT NULL
ORDER BY d.created_at DESC, d.seq DESC
LIMIT 2000) AS d, regexp_split_to_table(lower(d.label), '[^[:alnum:]_]+') AS part
WHERE part = ANY (:'names'::text[]) GROUP BY part HAVING count(*) >= :'least';

SELECT set_config('jit', :'jit', true), set_config('plan_cache_mode', :'plan_cache_mode', true), set_config('hnsw.ef_search', :'ef_search', true), set_config('hnsw.iterative_scan', :'iterative_scan', true), set_config('enable_sort', :'enable_sort', true), (SELECT version
FROM "public"."memorizz_settings");
WITH near_all AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, min(p.distance) AS distance, 0::bigint AS seen
FROM (
SELECT "p"."tenant", "p"."id", ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE true
ORDER BY ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector")
LIMIT 1000
    ) AS p JOIN "public"."pages" AS d ON "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE
    GROUP BY d.tenant, d.id, d.seq
ORDER BY distance, d.seq
LIMIT :'wide'
), near AS MATERIALIZED (SELECT *
FROM near_all
ORDER BY distance, seq
LIMIT :'depth'), with_words AS MATERIALIZED (
SELECT d.tenant, d.id
FROM "public"."pages" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND d.words @@ "public"."memorizz_question"(:'question', 64)
ORDER BY ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0) DESC, d.seq
LIMIT :'depth'
), candidate AS MATERIALIZED (
SELECT d.tenant, d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score, coalesce(d."timestamp", d.created_at) AS moment, CASE WHEN :'asking'::float8 > 0 THEN right(d.content, 200) ~  E'[?\\uff1f\\u061f\\u037e][\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' OR strpos(right(d.content, 200), ';') > 0 AND right(d.content, 200) ~  E'[\\u0370-\\u03ff\\u1f00-\\u1fff][^.!;]*;[\\s\\u00a0\\u2007\\u202f"''\\u2019\\u201d\\u00bb\\u300d\\u300f\\uff09)\\]]*$' END AS asks, CASE WHEN :'time'::float8 > 0 THEN left(d.content, 10000) ~* :'time_words' END AS says_when,
        (SELECT min(("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector"))
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL) AS distance, ts_rank(d.words, "public"."memorizz_question"(:'question', 64), 0)::float8 AS rank
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT id
FROM near
UNION
SELECT id
FROM with_words)))
), scored AS (
SELECT d.*, max(rank) OVER () AS best_rank,
        :'meaning'::float8 * coalesce(1 - distance - :'center'::float8, 0) AS meaning,
        :'words'::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,
        CASE WHEN :'speaker'::float8 <> 0 AND regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && :'names'::text[]
            THEN :'speaker'::float8 ELSE 0 END AS speaker,
        CASE WHEN :'recency'::float8 <> 0 THEN :'recency'::float8 * exp(-least(
            ln(2) * greatest(extract(epoch
FROM now()) - extract(epoch
FROM moment), 0) / 86400
                / :'half_life'::float8, 500
        )) ELSE 0 END AS recency,
        :'importance'::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance,
        CASE WHEN says_when THEN :'time'::float8 ELSE 0 END AS time,
        CASE WHEN asks THEN -:'asking'::float8 ELSE 0 END AS asking
FROM candidate AS d
), ranked AS (
SELECT d.*, base + session + neighbours + time + asking AS score
FROM (
SELECT *, 0::float8 AS session, 0::float8 AS neighbours
FROM (SELECT *, meaning + words + speaker + recency + importance AS base
FROM scored) AS summed
    ) AS d
), best AS MATERIALIZED (SELECT *
FROM ranked
ORDER BY score DESC, seq
LIMIT :'limit')
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", (SELECT jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop)
FROM (SELECT p.path, p.start, p.stop, ("p"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") AS distance
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NOT NULL OFFSET 0) AS p
ORDER BY p.distance, p.path, p.start
LIMIT 1) AS part, best.distance, best.score, ARRAY["best"."meaning", "best"."words", "best"."speaker", "best"."session", "best"."recency", "best"."importance", "best"."neighbours", "best"."time", "best"."asking", "best"."best_rank"] AS parts, best.seq, (SELECT max(seen)
FROM near) AS seen,
    ARRAY(SELECT distance
FROM near_all
ORDER BY distance) AS distances
FROM best JOIN "public"."pages" AS d ON "d"."tenant" = "best"."tenant" AND "d"."id" = "best"."id" AND "d".tenant = :'tenant'::text
ORDER BY best.score DESC, best.seq;

-- embed_missing, parts

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", coalesce(d.data ->> '_id', d.id::text), ARRAY(SELECT jsonb_build_array(p.path, p.start, p.stop, p.digest)
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NULL
ORDER BY p.path, p.start), d.id
FROM "public"."pages" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND EXISTS (SELECT
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p."embedding" IS NULL) AND (:'after'::uuid IS NULL OR d.id > :'after'::uuid)
ORDER BY d.tenant, d.id
LIMIT :'limit';

-- set_policy

UPDATE "public"."memorizz_stores"
SET policy = :'policy'::jsonb
WHERE name = :'name';

-- policies

SELECT name, policy
FROM "public"."memorizz_stores"
WHERE policy IS NOT NULL
ORDER BY id;

-- health: as above

-- position

SELECT CASE WHEN pg_is_in_recovery() THEN
to_hex(greatest((pg_control_recovery()).min_recovery_end_timeline, (pg_control_checkpoint()).timeline_id))
    || '/' || pg_last_wal_replay_lsn()
ELSE ltrim(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), '0') || '/' || pg_current_wal_insert_lsn() END;

-- after(...).retrieve_by_id: as above

-- apply_policies

WITH aged AS (
SELECT d.tenant, d.id, d.xmin::text AS version, d.memory_id, d.seq, coalesce(d."timestamp", d.created_at) AS at,
        CASE WHEN abs(d.importance_score) < 1e-280 THEN 0 ELSE d.importance_score * power(0.5::float8, least(greatest(coalesce(extract(epoch
FROM statement_timestamp() - greatest(d.updated_at, d.last_accessed))::float8 / :'half_life'::float8, 0), 0), 60)) END AS importance,
        coalesce(d.updated_at <= statement_timestamp() - make_interval(secs => :'expire_after'::float8), false)
            OR coalesce(CASE WHEN abs(d.importance_score) < 1e-280 THEN 0 ELSE d.importance_score * power(0.5::float8, least(greatest(coalesce(extract(epoch
FROM statement_timestamp() - greatest(d.updated_at, d.last_accessed))::float8 / :'half_life'::float8, 0), 0), 60)) END < :'least_importance'::float8, false) AS goes
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
), counted AS (SELECT d.*, goes OR row_number() OVER (PARTITION BY goes, memory_id
ORDER BY at DESC, seq DESC) > :'keep_last'::bigint AS too_old
FROM aged AS d),
ranked AS (SELECT d.*, too_old OR false AS too_many
FROM counted AS d)
SELECT d.id, coalesce(d.data ->> '_id', d.id::text), going.version, count(*) OVER ()
FROM ranked AS going JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "going"."tenant" AND "d"."id" = "going"."id" AND "d".tenant = :'tenant'::text
WHERE going.too_many
ORDER BY d.tenant, d.id
LIMIT :'limit';

-- keep_history

-- Keep the history of a store: what ends a version writes it down, in its own transaction, whoever sends it. What says who it
-- is and from which call has set it for that transaction. It writes for its owner: who deletes a document of a memory may not
-- reach the row of the history that says so.
CREATE OR REPLACE FUNCTION "public"."memorizz_long_term_memory_record"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- Of a change that waited for another one it may be earlier than that one's: `version` decides.
    at CONSTANT timestamptz := statement_timestamp();
    named CONSTANT text := nullif(current_setting('memorizz.operation', true), '');
    who CONSTANT text := nullif(current_setting('memorizz.actor', true), '');
    of_call CONSTANT text := coalesce(
        nullif(current_setting('memorizz.call', true), ''),
        pg_current_xact_id()::text || '/' || extract(epoch
FROM now())::text
    );
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, memory_id, has_vector)
SELECT tenant, id, at, coalesce(named, 'insert'), who, of_call, memory_id, false
FROM new_rows;
    ELSIF TG_OP = 'UPDATE' THEN
        -- A key that is gone was deleted, and one that is new was inserted. What is counted, and vectors on standby, make no
        -- version; updated_at, which nearly every change moves, is compared first.
        INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", "embedding", has_vector)
SELECT coalesce(o.tenant, n.tenant), coalesce(o.id, n.id), at,
            coalesce(named, CASE WHEN o.id IS NULL THEN 'insert' WHEN n.id IS NULL THEN 'delete' ELSE 'update' END),
            who, of_call, "o"."seq", "o"."data", "o"."name", "o"."memory_id", "o"."conversation_id", "o"."role", "o"."content", "o"."importance_score", "o"."access_count", "o"."metadata", "o"."timestamp", "o"."created_at", "o"."updated_at", "o"."last_accessed", "o"."expires_at", "o"."valid_from", "o"."valid_until", "o"."pieces", CASE WHEN moved.vector THEN o."embedding" END, moved.vector
FROM old_rows AS o FULL JOIN new_rows AS n ON o.tenant = n.tenant AND o.id = n.id
CROSS JOIN LATERAL (
SELECT o.id IS NOT NULL AND NOT coalesce(
                o."embedding" OPERATOR("public".=) n."embedding", n.id IS NOT NULL AND o."embedding" IS NULL AND n."embedding" IS NULL
            ) AS vector OFFSET 0
        ) AS moved
WHERE (o.updated_at, "o"."data", "o"."name", "o"."memory_id", "o"."conversation_id", "o"."role", "o"."content", "o"."importance_score", "o"."metadata", "o"."timestamp", "o"."created_at", "o"."valid_from", "o"."valid_until", CASE WHEN o.access_count IS NOT DISTINCT
FROM n.access_count THEN "o".expires_at END) IS DISTINCT
FROM (n.updated_at, "n"."data", "n"."name", "n"."memory_id", "n"."conversation_id", "n"."role", "n"."content", "n"."importance_score", "n"."metadata", "n"."timestamp", "n"."created_at", "n"."valid_from", "n"."valid_until", CASE WHEN o.access_count IS NOT DISTINCT
FROM n.access_count THEN "n".expires_at END) OR moved.vector;
    ELSIF TG_OP = 'DELETE' THEN
        IF named = 'forget' THEN
            INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, has_vector, forgotten)
SELECT tenant, id, at, named, who, of_call, false, true
FROM old_rows;
        ELSE
            INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", "embedding", has_vector)
SELECT tenant, id, at, coalesce(named, 'delete'), who, of_call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", "embedding", true
FROM old_rows;
        END IF;
    ELSE
        INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", "embedding", has_vector)
SELECT tenant, id, at, coalesce(named, 'delete'), who, of_call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", "embedding", true
FROM "public"."long_term_memory";
    END IF;
    RETURN NULL;
END;
$function$;
REVOKE ALL ON FUNCTION "public"."memorizz_long_term_memory_record"()
FROM PUBLIC;;

-- Keep the history of the parts of a store's documents, in the transaction that changes them. What the database does by
-- itself when a document goes or gets another text comes before that change is written down. All else belongs to a change of
-- the document by the same transaction; where there was none, as when a part gets the vector that it waits for, it is one.
-- No value decides how its statements are planned, which takes a while for all partitions: a session does it once, not five times.
CREATE OR REPLACE FUNCTION "public"."memorizz_long_term_memory_record_parts"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    at CONSTANT timestamptz := statement_timestamp();
    named CONSTANT text := nullif(current_setting('memorizz.operation', true), '');
    who CONSTANT text := nullif(current_setting('memorizz.actor', true), '');
    of_call CONSTANT text := coalesce(
        nullif(current_setting('memorizz.call', true), ''),
        pg_current_xact_id()::text || '/' || extract(epoch
FROM now())::text
    );
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH changed AS (
SELECT "tenant", "id", "path", "start", "stop", "digest", false AS was, NULL::"public"."vector" AS "embedding"
FROM new_rows
WHERE "embedding" IS NOT NULL
        ), found AS (
SELECT c.*, d.id IS NOT NULL AS stays
FROM changed AS c
LEFT JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "c"."tenant" AND "d"."id" = "c"."id" AND d.pieces = c.digest
        ), documents AS (
SELECT f.tenant, f.id, f.stays, last.version, last.changed_at,
                last.transaction IS NOT DISTINCT
FROM pg_current_xact_id() AS is_ours
FROM (SELECT DISTINCT tenant, id, stays
FROM found) AS f
LEFT JOIN LATERAL (
SELECT h.version, h.changed_at, h.transaction
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE "h"."tenant" = "f"."tenant" AND "h"."id" = "f"."id"
ORDER BY h.version DESC
LIMIT 1
            ) AS last ON true
        ), begun AS (
            INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", has_vector)
SELECT d.tenant, d.id, at, coalesce(named, 'update'), who, of_call, "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", false
FROM documents AS f JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "f"."tenant" AND "d"."id" = "f"."id"
WHERE f.stays AND NOT f.is_ours
            FOR NO KEY UPDATE OF d
RETURNING tenant, id, version
        )
        INSERT INTO "public"."memorizz_long_term_memory_parts_history" ("tenant", "id", "path", "start", "stop", "digest", was, "embedding", after, changed_at)
SELECT "tenant", "id", "path", "start", "stop", "digest", f.was, f."embedding",
            CASE WHEN stays THEN coalesce(begun.version, d.version) - 1 ELSE coalesce(d.version, 0) END,
            CASE WHEN stays AND d.is_ours THEN d.changed_at ELSE at END
FROM found AS f JOIN documents AS d USING (tenant, id, stays)
LEFT JOIN begun USING (tenant, id)
;
    ELSIF TG_OP = 'UPDATE' THEN
        WITH changed AS (
SELECT "tenant", "id", "path", "start", "stop", "digest", o.was IS TRUE AS was, o."embedding"
FROM (SELECT "tenant", "id", "path", "start", "stop", "digest", true AS was, "embedding"
FROM old_rows) AS o
            FULL JOIN (SELECT "tenant", "id", "path", "start", "stop", "digest", true AS stands, "embedding"
FROM new_rows) AS n USING ("tenant", "id", "path", "start", "stop", "digest")
WHERE (o.was AND n.stands) IS NOT TRUE
                OR NOT coalesce(o."embedding" OPERATOR("public".=) n."embedding", o."embedding" IS NULL AND n."embedding" IS NULL)
        ), found AS (
SELECT c.*, d.id IS NOT NULL AS stays
FROM changed AS c
LEFT JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "c"."tenant" AND "d"."id" = "c"."id" AND d.pieces = c.digest
        ), documents AS (
SELECT f.tenant, f.id, f.stays, last.version, last.changed_at,
                last.transaction IS NOT DISTINCT
FROM pg_current_xact_id() AS is_ours
FROM (SELECT DISTINCT tenant, id, stays
FROM found) AS f
LEFT JOIN LATERAL (
SELECT h.version, h.changed_at, h.transaction
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE "h"."tenant" = "f"."tenant" AND "h"."id" = "f"."id"
ORDER BY h.version DESC
LIMIT 1
            ) AS last ON true
        ), begun AS (
            INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", has_vector)
SELECT d.tenant, d.id, at, coalesce(named, 'update'), who, of_call, "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", false
FROM documents AS f JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "f"."tenant" AND "d"."id" = "f"."id"
WHERE f.stays AND NOT f.is_ours
            FOR NO KEY UPDATE OF d
RETURNING tenant, id, version
        )
        INSERT INTO "public"."memorizz_long_term_memory_parts_history" ("tenant", "id", "path", "start", "stop", "digest", was, "embedding", after, changed_at)
SELECT "tenant", "id", "path", "start", "stop", "digest", f.was, f."embedding",
            CASE WHEN stays THEN coalesce(begun.version, d.version) - 1 ELSE coalesce(d.version, 0) END,
            CASE WHEN stays AND d.is_ours THEN d.changed_at ELSE at END
FROM found AS f JOIN documents AS d USING (tenant, id, stays)
LEFT JOIN begun USING (tenant, id)
;
    -- What is forgotten leaves no vector.
    ELSIF TG_OP = 'DELETE' AND named IS DISTINCT
FROM 'forget' THEN
        WITH changed AS (SELECT "tenant", "id", "path", "start", "stop", "digest", true AS was, "embedding"
FROM old_rows
WHERE "embedding" IS NOT NULL), found AS (
SELECT c.*, d.id IS NOT NULL AS stays
FROM changed AS c
LEFT JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "c"."tenant" AND "d"."id" = "c"."id" AND d.pieces = c.digest
        ), documents AS (
SELECT f.tenant, f.id, f.stays, last.version, last.changed_at,
                last.transaction IS NOT DISTINCT
FROM pg_current_xact_id() AS is_ours
FROM (SELECT DISTINCT tenant, id, stays
FROM found) AS f
LEFT JOIN LATERAL (
SELECT h.version, h.changed_at, h.transaction
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE "h"."tenant" = "f"."tenant" AND "h"."id" = "f"."id"
ORDER BY h.version DESC
LIMIT 1
            ) AS last ON true
        ), begun AS (
            INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", has_vector)
SELECT d.tenant, d.id, at, coalesce(named, 'update'), who, of_call, "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", false
FROM documents AS f JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "f"."tenant" AND "d"."id" = "f"."id"
WHERE f.stays AND NOT f.is_ours
            FOR NO KEY UPDATE OF d
RETURNING tenant, id, version
        )
        INSERT INTO "public"."memorizz_long_term_memory_parts_history" ("tenant", "id", "path", "start", "stop", "digest", was, "embedding", after, changed_at)
SELECT "tenant", "id", "path", "start", "stop", "digest", f.was, f."embedding",
            CASE WHEN stays THEN coalesce(begun.version, d.version) - 1 ELSE coalesce(d.version, 0) END,
            CASE WHEN stays AND d.is_ours THEN d.changed_at ELSE at END
FROM found AS f JOIN documents AS d USING (tenant, id, stays)
LEFT JOIN begun USING (tenant, id)
;
    ELSIF TG_OP = 'TRUNCATE' THEN
        WITH changed AS (SELECT "tenant", "id", "path", "start", "stop", "digest", true AS was, "embedding"
FROM "public"."memorizz_long_term_memory_parts"
WHERE "embedding" IS NOT NULL), found AS (
SELECT c.*, d.id IS NOT NULL AS stays
FROM changed AS c
LEFT JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "c"."tenant" AND "d"."id" = "c"."id" AND d.pieces = c.digest
        ), documents AS (
SELECT f.tenant, f.id, f.stays, last.version, last.changed_at,
                last.transaction IS NOT DISTINCT
FROM pg_current_xact_id() AS is_ours
FROM (SELECT DISTINCT tenant, id, stays
FROM found) AS f
LEFT JOIN LATERAL (
SELECT h.version, h.changed_at, h.transaction
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE "h"."tenant" = "f"."tenant" AND "h"."id" = "f"."id"
ORDER BY h.version DESC
LIMIT 1
            ) AS last ON true
        ), begun AS (
            INSERT INTO "public"."memorizz_long_term_memory_history" (tenant, id, changed_at, operation, actor, call, "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "valid_from", "valid_until", "pieces", has_vector)
SELECT d.tenant, d.id, at, coalesce(named, 'update'), who, of_call, "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", false
FROM documents AS f JOIN "public"."long_term_memory" AS d ON "d"."tenant" = "f"."tenant" AND "d"."id" = "f"."id"
WHERE f.stays AND NOT f.is_ours
            FOR NO KEY UPDATE OF d
RETURNING tenant, id, version
        )
        INSERT INTO "public"."memorizz_long_term_memory_parts_history" ("tenant", "id", "path", "start", "stop", "digest", was, "embedding", after, changed_at)
SELECT "tenant", "id", "path", "start", "stop", "digest", f.was, f."embedding",
            CASE WHEN stays THEN coalesce(begun.version, d.version) - 1 ELSE coalesce(d.version, 0) END,
            CASE WHEN stays AND d.is_ours THEN d.changed_at ELSE at END
FROM found AS f JOIN documents AS d USING (tenant, id, stays)
LEFT JOIN begun USING (tenant, id)
;
    END IF;
    RETURN NULL;
END;
$function$;
REVOKE ALL ON FUNCTION "public"."memorizz_long_term_memory_record_parts"()
FROM PUBLIC;;

DO $do$ BEGIN EXECUTE (SELECT format('ALTER FUNCTION %s() OWNER TO %I', '"public"."memorizz_long_term_memory_record"', pg_get_userbyid(relowner))
FROM pg_class
WHERE oid = '"public"."long_term_memory"'::regclass); END $do$;

DO $do$ BEGIN EXECUTE (SELECT format('ALTER FUNCTION %s() OWNER TO %I', '"public"."memorizz_long_term_memory_record_parts"', pg_get_userbyid(relowner))
FROM pg_class
WHERE oid = '"public"."long_term_memory"'::regclass); END $do$;

CREATE TRIGGER memorizz_inserted_history AFTER INSERT ON "public"."long_term_memory" REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record"();
CREATE TRIGGER memorizz_updated_history AFTER UPDATE ON "public"."long_term_memory" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record"();
CREATE TRIGGER memorizz_deleted_history AFTER DELETE ON "public"."long_term_memory" REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record"();
CREATE TRIGGER memorizz_truncated_history BEFORE TRUNCATE ON "public"."long_term_memory"
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record"();;

CREATE TRIGGER memorizz_inserted_history AFTER INSERT ON "public"."memorizz_long_term_memory_parts" REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record_parts"();
CREATE TRIGGER memorizz_updated_history AFTER UPDATE ON "public"."memorizz_long_term_memory_parts" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record_parts"();
CREATE TRIGGER memorizz_deleted_history AFTER DELETE ON "public"."memorizz_long_term_memory_parts" REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record_parts"();
CREATE TRIGGER memorizz_truncated_history BEFORE TRUNCATE ON "public"."memorizz_long_term_memory_parts"
    FOR EACH STATEMENT EXECUTE FUNCTION "public"."memorizz_long_term_memory_record_parts"();;

UPDATE "public"."memorizz_stores"
SET history_retention = make_interval(secs => :'seconds'::float8), history_since = clock_timestamp()
WHERE name = :'name';

-- acting(...).store(document)

SELECT set_config('memorizz.actor', :'actor', true), set_config('memorizz.call', :'call', true);
SELECT d.id, d."name", d.content, d."embedding" IS NOT NULL
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now());

SELECT set_config('memorizz.actor', :'actor', true), set_config('memorizz.call', :'call', true);
INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "embedding", "embedding_bits", "memory_id", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'embedding'::"public"."vector", "public"."binary_quantize"(:'embedding'::"public"."vector")::bit(128), :'memory_id'::text, :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "embedding" = "excluded"."embedding", "embedding_bits" = "excluded"."embedding_bits", "memory_id" = "excluded"."memory_id", "name" = "excluded"."name", "pieces" = "excluded"."pieces", "data" = (d.data - '{content,memory_id,name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- versions

SELECT (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", d.seq, d.tenant = :'tenant'::text, d.forgotten, d.version, d.changed_at AT TIME ZONE INTERVAL '0', d.operation, d.actor, d.call
FROM (SELECT "d"."tenant", "d"."id", "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", "d"."forgotten", "d"."version", "d"."changed_at", "d"."operation", "d"."actor", "d"."call"
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid)
UNION ALL
SELECT "d"."tenant", "d"."id", "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", false, NULL::bigint, NULL::timestamptz, NULL, NULL, NULL
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND (d.expires_at IS NULL OR d.expires_at > now())) AS d
ORDER BY d.version NULLS LAST;

-- diff_memory

SELECT (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM (SELECT "p"."tenant", "p"."id", "p"."seq", "p"."data", "p"."name", "p"."memory_id", "p"."conversation_id", "p"."role", "p"."content", "p"."importance_score", "p"."access_count", "p"."metadata", "p"."timestamp", "p"."created_at", "p"."updated_at", "p"."last_accessed", "p"."expires_at", "p"."valid_from", "p"."valid_until", "p"."pieces", p."embedding", p."embedding_bits", p.words
FROM "public"."long_term_memory" AS p
WHERE NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS later
WHERE "later"."tenant" = "p"."tenant" AND "later"."id" = "p"."id" AND "later".tenant = :'tenant'::text AND later.changed_at > :'as_of'::timestamptz)
UNION ALL
SELECT "h"."tenant", "h"."id", "h"."seq", "h"."data", "h"."name", "h"."memory_id", "h"."conversation_id", "h"."role", "h"."content", "h"."importance_score", "h"."access_count", "h"."metadata", "h"."timestamp", "h"."created_at", "h"."updated_at", "h"."last_accessed", "h"."expires_at", "h"."valid_from", "h"."valid_until", "h"."pieces", CASE WHEN h.has_vector THEN h."embedding" WHEN h.changed_at >= (SELECT current_since
FROM "public"."memorizz_embedding_models"
WHERE id = 1) THEN (SELECT next."embedding"
FROM (SELECT n.version, n."embedding"
FROM "public"."memorizz_long_term_memory_history" AS n
WHERE "n"."tenant" = "h"."tenant" AND "n"."id" = "h"."id" AND "n".tenant = :'tenant'::text AND n.version > h.version AND n.has_vector
UNION ALL
SELECT NULL, p."embedding"
FROM "public"."long_term_memory" AS p
WHERE "p"."tenant" = "h"."tenant" AND "p"."id" = "h"."id" AND "p".tenant = :'tenant'::text) AS next
ORDER BY next.version
LIMIT 1) END, NULL::bit(128), "public"."memorizz_words"(h.name, h.role, h.content)
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE h.changed_at > :'as_of'::timestamptz AND h.seq IS NOT NULL AND NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS earlier
WHERE "earlier"."tenant" = "h"."tenant" AND "earlier"."id" = "h"."id" AND "earlier".tenant = :'tenant'::text AND earlier.version < h.version AND earlier.changed_at > :'as_of'::timestamptz)) AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > :'as_of'::timestamptz) AND d.memory_id = :'memory_id'::text AND (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT d.id
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d.changed_at > :'since'::timestamptz)));
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d.memory_id = :'memory_id'::text AND (d.tenant = :'tenant'::text AND d.id = ANY (ARRAY(SELECT d.id
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d.changed_at > :'since'::timestamptz)));

-- diff: as above

-- at(...).retrieve_by_id

SELECT (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM (SELECT "p"."tenant", "p"."id", "p"."seq", "p"."data", "p"."name", "p"."memory_id", "p"."conversation_id", "p"."role", "p"."content", "p"."importance_score", "p"."access_count", "p"."metadata", "p"."timestamp", "p"."created_at", "p"."updated_at", "p"."last_accessed", "p"."expires_at", "p"."valid_from", "p"."valid_until", "p"."pieces", p."embedding", p."embedding_bits", p.words
FROM "public"."long_term_memory" AS p
WHERE NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS later
WHERE "later"."tenant" = "p"."tenant" AND "later"."id" = "p"."id" AND "later".tenant = :'tenant'::text AND later.changed_at > :'as_of'::timestamptz)
UNION ALL
SELECT "h"."tenant", "h"."id", "h"."seq", "h"."data", "h"."name", "h"."memory_id", "h"."conversation_id", "h"."role", "h"."content", "h"."importance_score", "h"."access_count", "h"."metadata", "h"."timestamp", "h"."created_at", "h"."updated_at", "h"."last_accessed", "h"."expires_at", "h"."valid_from", "h"."valid_until", "h"."pieces", CASE WHEN h.has_vector THEN h."embedding" WHEN h.changed_at >= (SELECT current_since
FROM "public"."memorizz_embedding_models"
WHERE id = 1) THEN (SELECT next."embedding"
FROM (SELECT n.version, n."embedding"
FROM "public"."memorizz_long_term_memory_history" AS n
WHERE "n"."tenant" = "h"."tenant" AND "n"."id" = "h"."id" AND "n".tenant = :'tenant'::text AND n.version > h.version AND n.has_vector
UNION ALL
SELECT NULL, p."embedding"
FROM "public"."long_term_memory" AS p
WHERE "p"."tenant" = "h"."tenant" AND "p"."id" = "h"."id" AND "p".tenant = :'tenant'::text) AS next
ORDER BY next.version
LIMIT 1) END, NULL::bit(128), "public"."memorizz_words"(h.name, h.role, h.content)
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE h.changed_at > :'as_of'::timestamptz AND h.seq IS NOT NULL AND NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS earlier
WHERE "earlier"."tenant" = "h"."tenant" AND "earlier"."id" = "h"."id" AND "earlier".tenant = :'tenant'::text AND earlier.version < h.version AND earlier.changed_at > :'as_of'::timestamptz)) AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > :'as_of'::timestamptz) AND (d.tenant = :'tenant'::text AND d.id = :'id'::uuid);

-- at(...).retrieve_by_query(embedding)

SELECT (SELECT version
FROM "public"."memorizz_settings");
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", CASE WHEN d.seen <= 1000 THEN ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") END AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
SELECT *, CASE WHEN count(d.pieces) OVER () > 0 THEN -1 ELSE count(*) OVER () END AS seen
FROM (SELECT "d"."id", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."seq", "d"."pieces", "d"."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."seq", "p"."data", "p"."name", "p"."memory_id", "p"."conversation_id", "p"."role", "p"."content", "p"."importance_score", "p"."access_count", "p"."metadata", "p"."timestamp", "p"."created_at", "p"."updated_at", "p"."last_accessed", "p"."expires_at", "p"."valid_from", "p"."valid_until", "p"."pieces", p."embedding", p."embedding_bits", p.words
FROM "public"."long_term_memory" AS p
WHERE NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS later
WHERE "later"."tenant" = "p"."tenant" AND "later"."id" = "p"."id" AND "later".tenant = :'tenant'::text AND later.changed_at > :'as_of'::timestamptz OFFSET 0)
UNION ALL
SELECT "h"."tenant", "h"."id", "h"."seq", "h"."data", "h"."name", "h"."memory_id", "h"."conversation_id", "h"."role", "h"."content", "h"."importance_score", "h"."access_count", "h"."metadata", "h"."timestamp", "h"."created_at", "h"."updated_at", "h"."last_accessed", "h"."expires_at", "h"."valid_from", "h"."valid_until", "h"."pieces", CASE WHEN h.has_vector THEN h."embedding" WHEN h.changed_at >= (SELECT current_since
FROM "public"."memorizz_embedding_models"
WHERE id = 1) THEN (SELECT next."embedding"
FROM (SELECT n.version, n."embedding"
FROM "public"."memorizz_long_term_memory_history" AS n
WHERE "n"."tenant" = "h"."tenant" AND "n"."id" = "h"."id" AND "n".tenant = :'tenant'::text AND n.version > h.version AND n.has_vector
UNION ALL
SELECT NULL, p."embedding"
FROM "public"."long_term_memory" AS p
WHERE "p"."tenant" = "h"."tenant" AND "p"."id" = "h"."id" AND "p".tenant = :'tenant'::text) AS next
ORDER BY next.version
LIMIT 1) END, NULL::bit(128), "public"."memorizz_words"(h.name, h.role, h.content)
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE h.changed_at > :'as_of'::timestamptz AND h.seq IS NOT NULL AND NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS earlier
WHERE "earlier"."tenant" = "h"."tenant" AND "earlier"."id" = "h"."id" AND "earlier".tenant = :'tenant'::text AND earlier.version < h.version AND earlier.changed_at > :'as_of'::timestamptz OFFSET 0)) AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > :'as_of'::timestamptz) AND (d.valid_from IS NULL OR d.valid_from <= :'as_of'::timestamptz) AND (d.valid_until IS NULL OR d.valid_until > :'as_of'::timestamptz) AND TRUE AND "d"."embedding" IS NOT NULL
LIMIT 1000 + 1) AS d
) AS d
ORDER BY distance, d.seq
LIMIT :'limit';

-- restore

SELECT (SELECT version
FROM "public"."memorizz_settings");
LOCK TABLE ONLY "public"."long_term_memory" IN ROW EXCLUSIVE MODE;
SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;
SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", d.seq, d.tenant = :'tenant'::text, d.forgotten, d.version, d.changed_at AT TIME ZONE INTERVAL '0', d.operation, d.actor, d.call
FROM (SELECT "d"."tenant", "d"."id", "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", "d"."forgotten", "d"."version", "d"."changed_at", "d"."operation", "d"."actor", "d"."call"
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid)
UNION ALL
SELECT "d"."tenant", "d"."id", "d"."seq", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."pieces", false, NULL::bigint, NULL::timestamptz, NULL, NULL, NULL
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND (d.expires_at IS NULL OR d.expires_at > now())) AS d
ORDER BY d.version NULLS LAST;

-- undo

SELECT DISTINCT ON (d.tenant, d.id) d.id, d.version, d.seq IS NOT NULL, d.forgotten, coalesce(d.data ->> '_id', d.id::text), EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS later
WHERE "later"."tenant" = "d"."tenant" AND "later"."id" = "d"."id" AND "later".tenant = :'tenant'::text AND later.version > d.version AND later.call <> :'call'::text)
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d.call = :'call'::text
ORDER BY d.tenant, d.id, d.version;

LOCK TABLE ONLY "public"."long_term_memory" IN ROW EXCLUSIVE MODE;
SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;
SELECT DISTINCT ON (d.tenant, d.id) d.id, d.version, d.seq IS NOT NULL, d.forgotten, coalesce(d.data ->> '_id', d.id::text), EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_history" AS later
WHERE "later"."tenant" = "d"."tenant" AND "later"."id" = "d"."id" AND "later".tenant = :'tenant'::text AND later.version > d.version AND later.call <> :'call'::text)
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d.call = :'call'::text
ORDER BY d.tenant, d.id, d.version;

SELECT set_config('memorizz.operation', :'operation', true);

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", "seq", "data", "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata", "timestamp", "created_at", "last_accessed", "valid_from", "valid_until", expires_at, updated_at, "embedding", "embedding_bits", pieces) OVERRIDING SYSTEM VALUE
SELECT "h"."tenant", "h"."id", "h"."seq", "h"."data", "h"."name", "h"."memory_id", "h"."conversation_id", "h"."role", "h"."content", "h"."importance_score", "h"."access_count", "h"."metadata", "h"."timestamp", "h"."created_at", "h"."last_accessed", "h"."valid_from", "h"."valid_until", CASE WHEN h.expires_at > now() THEN h.expires_at END, clock_timestamp(), h.vector, "public"."binary_quantize"("h"."vector")::bit(128), CASE WHEN h.vector IS NOT NULL THEN h.pieces END
FROM (SELECT h.*, CASE WHEN h.has_vector THEN h."embedding" WHEN h.changed_at >= (SELECT current_since
FROM "public"."memorizz_embedding_models"
WHERE id = 1) THEN (SELECT next."embedding"
FROM (SELECT n.version, n."embedding"
FROM "public"."memorizz_long_term_memory_history" AS n
WHERE "n"."tenant" = "h"."tenant" AND "n"."id" = "h"."id" AND "n".tenant = :'tenant'::text AND n.version > h.version AND n.has_vector
UNION ALL
SELECT NULL, p."embedding"
FROM "public"."long_term_memory" AS p
WHERE "p"."tenant" = "h"."tenant" AND "p"."id" = "h"."id" AND "p".tenant = :'tenant'::text) AS next
ORDER BY next.version
LIMIT 1) END AS vector
FROM (SELECT d.*
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.version = ANY (:'versions'::bigint[]) AND d.seq IS NOT NULL AND d.tenant = :'tenant'::text) AS h) AS h
ORDER BY "h"."tenant", "h"."id"
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "data" = excluded."data", "name" = excluded."name", "memory_id" = excluded."memory_id", "conversation_id" = excluded."conversation_id", "role" = excluded."role", "content" = excluded."content", "importance_score" = excluded."importance_score", "access_count" = excluded."access_count", "metadata" = excluded."metadata", "timestamp" = excluded."timestamp", "created_at" = excluded."created_at", "last_accessed" = excluded."last_accessed", "valid_from" = excluded."valid_from", "valid_until" = excluded."valid_until", "expires_at" = excluded."expires_at", "updated_at" = excluded."updated_at", "embedding" = excluded."embedding", "embedding_bits" = excluded."embedding_bits", "pieces" = excluded."pieces"
WHERE d.tenant = :'tenant'::text
RETURNING d.id, coalesce(d.data ->> '_id', d.id::text);

-- consolidate

SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."memory_id" = :'f0'::text AND true AND d.expires_at IS NULL AND d.valid_from IS NULL AND d.valid_until IS NULL AND jsonb_typeof(d.data -> 'content') IS DISTINCT
FROM 'array'
ORDER BY d."embedding" IS NULL OR d.pieces IS NOT NULL, d.created_at DESC, d.seq DESC
LIMIT :'limit';

SELECT d.id, coalesce(d.data ->> '_id', d.id::text), CASE WHEN d.content ~ '[^[:space:]]' THEN sha256(convert_to(jsonb_build_array(coalesce(d."name", ''), d.content)::text, 'UTF8')) END, CASE WHEN d.pieces IS NULL THEN "public"."vector_send"(d."embedding") END
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now());

SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."memory_id" = :'f0'::text AND (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.expires_at IS NULL AND d.valid_from IS NULL AND d.valid_until IS NULL AND jsonb_typeof(d.data -> 'content') IS DISTINCT
FROM 'array'
ORDER BY d."embedding" IS NULL OR d.pieces IS NOT NULL, d.created_at DESC, d.seq DESC
LIMIT :'limit';

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now());

UPDATE "public"."long_term_memory" AS d
SET "created_at" = :'created_at'::timestamptz, "data" = (d.data - '{created_at}'::text[]) || :'data'::jsonb, "updated_at" = clock_timestamp()
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid) AND d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND TRUE
RETURNING true;
DELETE
FROM "public"."long_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) AND true
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING d.id, coalesce(d.data ->> '_id', d.id::text);
SELECT d.call
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE (d.tenant = :'tenant'::text AND d.id = :'id'::uuid)
ORDER BY d.version DESC
LIMIT 1;

-- forget(memory_id), with a history

SELECT set_config('memorizz.operation', :'operation', true);
DELETE
FROM "public"."personas" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."personas" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."toolbox" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."short_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."long_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."conversation_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."workflow_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."agents" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."pages" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
SELECT set_config('memorizz.operation', :'operation', true);

WITH gone AS (UPDATE "public"."memorizz_personas_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_personas_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_personas_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."personas" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_personas_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_personas_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_personas_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_personas_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_personas_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_personas_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_toolbox_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_toolbox_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_toolbox_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."toolbox" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_toolbox_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_toolbox_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_toolbox_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_toolbox_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_toolbox_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_toolbox_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_short_term_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_short_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_short_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."short_term_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_short_term_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_short_term_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_short_term_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_short_term_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_short_term_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_short_term_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_long_term_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."long_term_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_long_term_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_long_term_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_long_term_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_long_term_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_conversation_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_conversation_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_conversation_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."conversation_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_conversation_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_conversation_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_conversation_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_conversation_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_conversation_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_conversation_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_workflow_memory_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_workflow_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_workflow_memory_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."workflow_memory" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_workflow_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_workflow_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_workflow_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_workflow_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_workflow_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_workflow_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_agents_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_agents_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_agents_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."agents" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_agents_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_agents_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_agents_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_agents_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_agents_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_agents_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (UPDATE "public"."memorizz_pages_history" AS d
SET forgotten = true, "seq" = NULL, "data" = NULL, "name" = NULL, "memory_id" = NULL, "conversation_id" = NULL, "role" = NULL, "content" = NULL, "importance_score" = NULL, "access_count" = NULL, "metadata" = NULL, "timestamp" = NULL, "created_at" = NULL, "updated_at" = NULL, "last_accessed" = NULL, "expires_at" = NULL, "valid_from" = NULL, "valid_until" = NULL, "pieces" = NULL, "embedding" = NULL
FROM (SELECT d.tenant, d.id, d.version, d.seq
FROM "public"."memorizz_pages_history" AS d
WHERE d.tenant = :'tenant'::text AND NOT d.forgotten AND ((d.tenant = :'tenant'::text AND d.id = ANY (:'ids'::uuid[])) OR d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text OR (d.tenant, d.id) IN (SELECT d.tenant, d.id
FROM "public"."memorizz_pages_history" AS d
WHERE d.tenant = :'tenant'::text AND d."memory_id" = :'f0'::text AND NOT EXISTS (SELECT
FROM "public"."pages" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text)))
ORDER BY d.tenant, d.id, version FOR UPDATE) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text AND d.version = found.version
RETURNING d.tenant, d.id, d.version, found.seq), parts AS (DELETE
FROM "public"."memorizz_pages_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_pages_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_pages_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_pages_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_pages_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;

SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."personas" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND d."memory_id" = :'f0'::text;

-- drop_history

DROP TRIGGER IF EXISTS "memorizz_inserted_history" ON "public"."long_term_memory"; DROP TRIGGER IF EXISTS "memorizz_updated_history" ON "public"."long_term_memory"; DROP TRIGGER IF EXISTS "memorizz_deleted_history" ON "public"."long_term_memory"; DROP TRIGGER IF EXISTS "memorizz_truncated_history" ON "public"."long_term_memory"; DROP TRIGGER IF EXISTS "memorizz_inserted_history" ON "public"."memorizz_long_term_memory_parts"; DROP TRIGGER IF EXISTS "memorizz_updated_history" ON "public"."memorizz_long_term_memory_parts"; DROP TRIGGER IF EXISTS "memorizz_deleted_history" ON "public"."memorizz_long_term_memory_parts"; DROP TRIGGER IF EXISTS "memorizz_truncated_history" ON "public"."memorizz_long_term_memory_parts";

DROP FUNCTION IF EXISTS "public"."memorizz_long_term_memory_record"(), "public"."memorizz_long_term_memory_record_parts"();

TRUNCATE "public"."memorizz_long_term_memory_history", "public"."memorizz_long_term_memory_parts_history";

UPDATE "public"."memorizz_stores"
SET history_since = NULL, history_retention = NULL
WHERE name = :'name';

-- tenant(...).forget(everything=True)

SELECT set_config('memorizz.operation', :'operation', true);
DELETE
FROM "public"."personas" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."personas" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."toolbox" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."short_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."long_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."conversation_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."workflow_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."agents" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
DELETE
FROM "public"."pages" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING coalesce(d.data ->> '_id', d.id::text);
SELECT set_config('memorizz.operation', :'operation', true);

WITH gone AS (DELETE
FROM "public"."memorizz_personas_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_personas_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_personas_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_personas_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_personas_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_personas_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_personas_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (DELETE
FROM "public"."memorizz_toolbox_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_toolbox_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_toolbox_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_toolbox_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_toolbox_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_toolbox_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_toolbox_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (DELETE
FROM "public"."memorizz_short_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_short_term_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_short_term_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_short_term_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_short_term_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_short_term_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_short_term_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (DELETE
FROM "public"."memorizz_long_term_memory_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_long_term_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_long_term_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_long_term_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_long_term_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_long_term_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_long_term_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (DELETE
FROM "public"."memorizz_conversation_memory_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_conversation_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_conversation_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_conversation_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_conversation_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_conversation_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_conversation_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (DELETE
FROM "public"."memorizz_workflow_memory_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_workflow_memory_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_workflow_memory_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_workflow_memory_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_workflow_memory_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_workflow_memory_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_workflow_memory_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (DELETE
FROM "public"."memorizz_agents_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_agents_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_agents_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_agents_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_agents_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_agents_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_agents_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;
WITH gone AS (DELETE
FROM "public"."memorizz_pages_history" AS d
WHERE d.tenant = :'tenant'::text
RETURNING d.tenant, d.id, d.version, d.seq), parts AS (DELETE
FROM "public"."memorizz_pages_parts_history" AS e USING (SELECT DISTINCT "gone"."tenant", "gone"."id"
FROM gone) AS d
WHERE "e"."tenant" = "d"."tenant" AND "e"."id" = "d"."id" AND "e".tenant = :'tenant'::text AND NOT EXISTS (SELECT
FROM "public"."memorizz_pages_parts" AS p
WHERE ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")) AND NOT EXISTS (SELECT
FROM (SELECT "h"."tenant", "h"."id", (SELECT coalesce(max(b.version), 0)
FROM "public"."memorizz_pages_history" AS b
WHERE "b"."tenant" = "d"."tenant" AND "b"."id" = "d"."id" AND "b".tenant = :'tenant'::text AND b.version < "h"."version") AS before
FROM "public"."memorizz_pages_history" AS h
WHERE "h"."tenant" = "d"."tenant" AND "h"."id" = "d"."id" AND "h".tenant = :'tenant'::text AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version
FROM gone)) AS d
CROSS JOIN LATERAL (SELECT DISTINCT ON ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding"
FROM (SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", true AS was, p."embedding", NULL::bigint AS number
FROM "public"."memorizz_pages_parts" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text
UNION ALL
SELECT "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.was, p."embedding", p.number
FROM "public"."memorizz_pages_parts_history" AS p
WHERE "p"."tenant" = "d"."tenant" AND "p"."id" = "d"."id" AND "p".tenant = :'tenant'::text AND p.after >= "d"."before") AS p
ORDER BY "p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest", p.number) AS p
WHERE p.was AND ("p"."tenant", "p"."id", "p"."path", "p"."start", "p"."stop", "p"."digest") = ("e"."tenant", "e"."id", "e"."path", "e"."start", "e"."stop", "e"."digest")))
SELECT count(seq)
FROM gone;

SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."personas" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."toolbox" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."short_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."conversation_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."workflow_memory" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."agents" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;
SELECT coalesce(d.data ->> '_id', d.id::text)
FROM "public"."pages" AS d
WHERE (d.tenant = :'tenant'::text AND (d.expires_at IS NULL OR d.expires_at > now()) OR d.tenant = :'tenant'::text AND d.expires AND d.expires_at <= now()) AND TRUE;

-- memory(...).store(document with id)

SELECT d.id, d."name", d.content, d."embedding" IS NOT NULL
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND d.id = ANY (:'ids'::uuid[])) AND d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND (d.expires_at IS NULL OR d.expires_at > now());

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "embedding", "embedding_bits", "memory_id", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'embedding'::"public"."vector", "public"."binary_quantize"(:'embedding'::"public"."vector")::bit(128), :'memory_id'::text, :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "embedding" = "excluded"."embedding", "embedding_bits" = "excluded"."embedding_bits", "memory_id" = "excluded"."memory_id", "name" = "excluded"."name", "pieces" = "excluded"."pieces", "data" = (d.data - '{content,memory_id,name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING true;

-- memory(...).store_many(documents with ids)

LOCK TABLE ONLY "public"."long_term_memory" IN ROW EXCLUSIVE MODE;
SELECT d.id
FROM "public"."long_term_memory" AS d
WHERE (d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND d.id = ANY (:'ids'::uuid[]))
ORDER BY d.tenant, d.id FOR NO KEY UPDATE;

INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "memory_id")
SELECT :'tenant'::text, n.id, n.data, "n"."memory_id"
FROM unnest(:'id'::uuid[], :'data'::jsonb[], :'memory_id'::text[]) AS n ("id", "data", "memory_id")
ON CONFLICT ("tenant", "id") DO NOTHING
RETURNING d.id;
INSERT INTO "public"."long_term_memory" AS d ("tenant", "id", data, "content", "memory_id", "name")
VALUES (:'tenant', :'id', :'data'::jsonb, :'content'::text, :'memory_id'::text, :'name'::text)
ON CONFLICT ("tenant", "id")
DO UPDATE
SET "content" = "excluded"."content", "memory_id" = "excluded"."memory_id", "name" = "excluded"."name", "embedding" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding" END, "embedding_bits" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."embedding_bits" END, "pieces" = CASE WHEN coalesce(d."name", '') = :'seen_label'::text AND coalesce(d.content, '') = :'seen_content'::text THEN "d"."pieces" END, "data" = (d.data - '{content,memory_id,name}'::text[]) || "excluded"."data", "updated_at" = clock_timestamp()
WHERE d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND (d.expires_at IS NULL OR d.expires_at > now())
RETURNING d."embedding" IS NOT NULL;

-- memory(...).retrieve_by_id

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND d.id = :'id'::uuid);

-- memory(..., agent=...).retrieve_by_id

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND d.data @> :'of_agent'::jsonb AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND d.data @> :'of_agent'::jsonb AND d.id = :'id'::uuid);

-- memory(...).retrieve_by_query(embedding)

SELECT "d"."id"::text AS "id", "d"."data" AS "data", "d"."name" AS "name", "d"."memory_id" AS "memory_id", "d"."conversation_id" AS "conversation_id", "d"."role" AS "role", "d"."content" AS "content", "d"."importance_score" AS "importance_score", "d"."access_count" AS "access_count", "d"."metadata" AS "metadata", "d"."timestamp" AT TIME ZONE INTERVAL '0' AS "timestamp", "d"."created_at" AT TIME ZONE INTERVAL '0' AS "created_at", "d"."updated_at" AT TIME ZONE INTERVAL '0' AS "updated_at", "d"."last_accessed" AT TIME ZONE INTERVAL '0' AS "last_accessed", "d"."expires_at" AT TIME ZONE INTERVAL '0' AS "expires_at", "d"."valid_from" AT TIME ZONE INTERVAL '0' AS "valid_from", "d"."valid_until" AT TIME ZONE INTERVAL '0' AS "valid_until", CASE WHEN d.seen <= 1000 THEN ("d"."embedding" OPERATOR("public".<=>) :'vector'::"public"."vector") END AS distance, NULL::float8 AS score, NULL::float8[] AS parts, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
SELECT *, CASE WHEN count(d.pieces) OVER () > 0 THEN -1 ELSE count(*) OVER () END AS seen
FROM (SELECT "d"."id", "d"."data", "d"."name", "d"."memory_id", "d"."conversation_id", "d"."role", "d"."content", "d"."importance_score", "d"."access_count", "d"."metadata", "d"."timestamp", "d"."created_at", "d"."updated_at", "d"."last_accessed", "d"."expires_at", "d"."valid_from", "d"."valid_until", "d"."seq", "d"."pieces", "d"."embedding"
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND (d.valid_from IS NULL OR d.valid_from <= now()) AND (d.valid_until IS NULL OR d.valid_until > now()) AND TRUE AND "d"."embedding" IS NOT NULL
ORDER BY "d"."timestamp", d.seq
LIMIT 1000 + 1) AS d
) AS d
ORDER BY distance, d.seq
LIMIT :'limit';

-- memory(...).delete

WITH gone AS (DELETE
FROM "public"."long_term_memory" AS d USING (WITH found AS MATERIALIZED (SELECT d.tenant, d.id
FROM "public"."long_term_memory" AS d
WHERE d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND (d.expires_at IS NULL OR d.expires_at > now()) AND d."data" @> :'f0'::jsonb
ORDER BY d.tenant, d.id FOR UPDATE)
SELECT *
FROM found) AS found
WHERE "d"."tenant" = "found"."tenant" AND "d"."id" = "found"."id" AND "d".tenant = :'tenant'::text
RETURNING 1)
SELECT count(*)
FROM gone;

-- memory(...).delete_by_id

DELETE
FROM "public"."long_term_memory" AS d USING (SELECT now() AS now OFFSET 0) AS clock
WHERE (d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND d.id = :'id'::uuid)
RETURNING d.tenant = :'tenant'::text AND d.memory_id = :'of_memory'::text AND (d.expires_at IS NULL OR d.expires_at > clock.now);
