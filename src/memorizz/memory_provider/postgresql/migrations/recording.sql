-- Keep the history of a store: what ends a version writes it down, in its own transaction, whoever sends it. What says who it
-- is and from which call has set it for that transaction. It writes for its owner: who deletes a document of a memory may not
-- reach the row of the history that says so.

CREATE OR REPLACE FUNCTION {record}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- Of a change that waited for another one it may be earlier than that one's: `version` decides.
    at CONSTANT timestamptz := statement_timestamp();
    named CONSTANT text := nullif(current_setting('memorizz.operation', true), '');
    who CONSTANT text := nullif(current_setting('memorizz.actor', true), '');
    of_call CONSTANT text := coalesce(
        nullif(current_setting('memorizz.call', true), ''),
        pg_current_xact_id()::text || '/' || extract(epoch FROM now())::text
    );
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {history} (tenant, id, changed_at, operation, actor, call, memory_id, has_vector)
        SELECT tenant, id, at, coalesce(named, 'insert'), who, of_call, memory_id, false FROM new_rows;
    ELSIF TG_OP = 'UPDATE' THEN
        -- A key that is gone was deleted, and one that is new was inserted. What is counted, and vectors on standby, make no
        -- version; updated_at, which nearly every change moves, is compared first.
        INSERT INTO {history} (tenant, id, changed_at, operation, actor, call, {columns}, {vector}, has_vector)
        SELECT coalesce(o.tenant, n.tenant), coalesce(o.id, n.id), at,
            coalesce(named, CASE WHEN o.id IS NULL THEN 'insert' WHEN n.id IS NULL THEN 'delete' ELSE 'update' END),
            who, of_call, {old_columns}, CASE WHEN moved.vector THEN o.{vector} END, moved.vector
        FROM old_rows AS o FULL JOIN new_rows AS n ON o.tenant = n.tenant AND o.id = n.id
        CROSS JOIN LATERAL (
            SELECT o.id IS NOT NULL AND NOT coalesce(
                o.{vector} OPERATOR({space}.=) n.{vector}, n.id IS NOT NULL AND o.{vector} IS NULL AND n.{vector} IS NULL
            ) AS vector OFFSET 0
        ) AS moved
        WHERE (o.updated_at, {old_compared}) IS DISTINCT FROM (n.updated_at, {new_compared}) OR moved.vector;
    ELSIF TG_OP = 'DELETE' THEN
        IF named = 'forget' THEN
            INSERT INTO {history} (tenant, id, changed_at, operation, actor, call, has_vector, forgotten)
            SELECT tenant, id, at, named, who, of_call, false, true FROM old_rows;
        ELSE
            INSERT INTO {history} (tenant, id, changed_at, operation, actor, call, {columns}, {vector}, has_vector)
            SELECT tenant, id, at, coalesce(named, 'delete'), who, of_call, {columns}, {vector}, true FROM old_rows;
        END IF;
    ELSE
        INSERT INTO {history} (tenant, id, changed_at, operation, actor, call, {columns}, {vector}, has_vector)
        SELECT tenant, id, at, coalesce(named, 'delete'), who, of_call, {columns}, {vector}, true FROM {table};
    END IF;
    RETURN NULL;
END;
$function$;
REVOKE ALL ON FUNCTION {record}() FROM PUBLIC;
