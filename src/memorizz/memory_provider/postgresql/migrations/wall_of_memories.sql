-- Row-level security of the tables of one store between the memories of one tenant, where that is wanted: of which memory a
-- transaction is, its setting says. Unset or '' it is of all of them. These policies stand beside those of the tenants.
-- Each is put so that PostgreSQL takes it to leave nearly all rows (IS NOT NULL): of `setting is '' OR memory_id = setting` it
-- expects a two-hundredth. How many there are of a memory, the conditions of the statements say.

CREATE POLICY memorizz_memory ON {table} AS RESTRICTIVE TO {role} USING (
    (CASE WHEN memory_id IS NOT DISTINCT FROM coalesce({memory}, memory_id) THEN true END) IS NOT NULL
);
-- Of the history it is the memory of the version that a change has ended. Triggers write it, for its owner, and a memory nobody.
CREATE POLICY memorizz_memory ON {history} AS RESTRICTIVE TO {role} USING (
    (CASE WHEN memory_id IS NOT DISTINCT FROM coalesce({memory}, memory_id) THEN true END) IS NOT NULL
) WITH CHECK ({memory} IS NULL);
CREATE POLICY memorizz_memory_deletes ON {history} AS RESTRICTIVE FOR DELETE TO {role} USING ({memory} IS NULL);
-- A part is its document's, which may have been written by the same statement: to see that, one has to begin another.
CREATE OR REPLACE FUNCTION {has}(of text, document uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN EXISTS (SELECT FROM {table} AS d WHERE d.tenant = of AND d.id = document);
END
$function$;
ALTER FUNCTION {has} OWNER TO {owner};
REVOKE ALL ON FUNCTION {has} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {has} TO {role};
CREATE POLICY memorizz_memory ON {parts} AS RESTRICTIVE TO {role} USING (
    (CASE WHEN {memory} IS NULL OR EXISTS (
        SELECT FROM {table} AS d WHERE d.tenant = {parts}.tenant AND d.id = {parts}.id
    ) THEN true END) IS NOT NULL
) WITH CHECK ({memory} IS NULL OR {has}(tenant, id));
-- Of which memory a part was does not stand beside its changes.
CREATE POLICY memorizz_memory ON {parts_history} AS RESTRICTIVE TO {role} USING ({memory} IS NULL);
