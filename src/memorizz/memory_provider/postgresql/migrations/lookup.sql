-- What asks the GIN indexes of a store while row-level security keeps its tenants apart. `@@` and `@>` may tell of a row, so
-- PostgreSQL asks them behind a policy, row by row, and never an index. Here the owner asks, whom a policy lets see all,
-- with the tenant of the transaction, its memory where it is of one, and values of the caller's; ids come back, those of the best by words first, all of
-- them or `most`. (With places of rows, a writer would lose the row that somebody moves while it waits.) It is planned for
-- its values, as the statements without the wall are. Nothing that a session sets has the server tell it the plan, whose
-- estimates are of all tenants.

CREATE OR REPLACE FUNCTION {lookup}(asked tsquery, most bigint, ended boolean, memory text, keys jsonb[], metadata_keys jsonb[])
    RETURNS SETOF uuid LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, {schema}, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET client_min_messages = error
AS $function$
DECLARE
    mine CONSTANT text := nullif(current_setting('memorizz.tenant', true), '');
    of_mine CONSTANT text := nullif(current_setting('memorizz.memory', true), '');
    few CONSTANT integer := 1000;
    seen bigint;
    found uuid[];
BEGIN
    IF memory <> of_mine THEN
        RETURN;
    END IF;
    memory := coalesce(of_mine, memory);
    -- A policy hides from the planner how many rows have a key, so that it would read all of the tenant's to spare some of the
    -- key's. Where the tenant has few, it may. Else where few have the key, of all tenants, or of one where only its partition
    -- is to be asked, nothing else is asked.
    IF (keys IS NOT NULL OR metadata_keys IS NOT NULL) AND few < (
        SELECT count(*) FROM (
            SELECT FROM {store} AS d WHERE d.tenant = mine AND (memory IS NULL OR d.memory_id = memory) LIMIT few + 1
        ) AS d
    ) THEN
        -- Without words in no order.
        SELECT count(*), array_agg(
            d.id ORDER BY ts_rank(d.words, asked, 0) DESC, CASE WHEN asked IS NOT NULL THEN d.seq END
        ) FILTER (
            WHERE d.tenant = mine AND (memory IS NULL OR d.memory_id = memory) AND (asked IS NULL OR d.words @@ asked)
        ) INTO seen, found
        FROM (
            SELECT d.id, d.tenant, d.memory_id, d.words, d.seq FROM {store} AS d
            WHERE {whose} (keys IS NULL OR d.data @> ANY (keys)) AND (metadata_keys IS NULL OR d.metadata @> ANY (metadata_keys))
            LIMIT few + 1
        ) AS d;
        IF seen <= few THEN
            RETURN QUERY SELECT unnest(found);
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT d.id FROM {store} AS d
    WHERE d.tenant = mine AND {live} AND (ended OR {holds})
        AND (asked IS NULL OR d.words @@ asked) AND (memory IS NULL OR d.memory_id = memory)
        AND (keys IS NULL OR d.data @> ANY (keys)) AND (metadata_keys IS NULL OR d.metadata @> ANY (metadata_keys))
    ORDER BY ts_rank(d.words, asked, 0) DESC, d.seq LIMIT most;
END
$function$;
ALTER FUNCTION {lookup} OWNER TO {owner};
REVOKE ALL ON FUNCTION {lookup} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {lookup} TO {role};
