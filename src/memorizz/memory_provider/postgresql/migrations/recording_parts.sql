-- Keep the history of the parts of a store's documents, in the transaction that changes them. What the database does by
-- itself when a document goes or gets another text comes before that change is written down. All else belongs to a change of
-- the document by the same transaction; where there was none, as when a part gets the vector that it waits for, it is one.
-- No value decides how its statements are planned, which takes a while for all partitions: a session does it once, not five times.

CREATE OR REPLACE FUNCTION {record}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
    at CONSTANT timestamptz := statement_timestamp();
    named CONSTANT text := nullif(current_setting('memorizz.operation', true), '');
    who CONSTANT text := nullif(current_setting('memorizz.actor', true), '');
    of_call CONSTANT text := coalesce(
        nullif(current_setting('memorizz.call', true), ''),
        pg_current_xact_id()::text || '/' || extract(epoch FROM now())::text
    );
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH changed AS (
            SELECT {part}, false AS was, NULL::{vector_type} AS {vector} FROM new_rows WHERE {is_one}
        ), {noted};
    ELSIF TG_OP = 'UPDATE' THEN
        WITH changed AS (
            SELECT {part}, o.was IS TRUE AS was, o.{vector}
            FROM (SELECT {part}, true AS was, {vector} FROM old_rows) AS o
            FULL JOIN (SELECT {part}, true AS stands, {vector} FROM new_rows) AS n USING ({part})
            WHERE (o.was AND n.stands) IS NOT TRUE
                OR NOT coalesce(o.{vector} OPERATOR({space}.=) n.{vector}, o.{vector} IS NULL AND n.{vector} IS NULL)
        ), {noted};
    -- What is forgotten leaves no vector.
    ELSIF TG_OP = 'DELETE' AND named IS DISTINCT FROM 'forget' THEN
        WITH changed AS (SELECT {part}, true AS was, {vector} FROM old_rows WHERE {is_one}), {noted};
    ELSIF TG_OP = 'TRUNCATE' THEN
        WITH changed AS (SELECT {part}, true AS was, {vector} FROM {parts} WHERE {is_one}), {noted};
    END IF;
    RETURN NULL;
END;
$function$;
REVOKE ALL ON FUNCTION {record}() FROM PUBLIC;
