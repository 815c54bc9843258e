found AS (
            SELECT c.*, d.id IS NOT NULL AS stays FROM changed AS c LEFT JOIN {table} AS d ON {same_document}{of_today}
        ), documents AS (
            SELECT f.tenant, f.id, f.stays, last.version, last.changed_at,
                last.transaction IS NOT DISTINCT FROM pg_current_xact_id() AS is_ours
            FROM (SELECT DISTINCT tenant, id, stays FROM found) AS f LEFT JOIN LATERAL (
                SELECT h.version, h.changed_at, h.transaction FROM {history} AS h
                WHERE {same_history} ORDER BY h.version DESC LIMIT 1
            ) AS last ON true
        ), begun AS (
            INSERT INTO {history} (tenant, id, changed_at, operation, actor, call, {columns}, has_vector)
            SELECT d.tenant, d.id, at, coalesce(named, 'update'), who, of_call, {columns_of_document}, false
            FROM documents AS f JOIN {table} AS d ON {same_found} WHERE f.stays AND NOT f.is_ours
            FOR NO KEY UPDATE OF d
            RETURNING tenant, id, version
        )
        INSERT INTO {parts_history} ({part}, was, {vector}, after, changed_at)
        SELECT {part}, f.was, f.{vector},
            CASE WHEN stays THEN coalesce(begun.version, d.version) - 1 ELSE coalesce(d.version, 0) END,
            CASE WHEN stays AND d.is_ours THEN d.changed_at ELSE at END
        FROM found AS f JOIN documents AS d USING (tenant, id, stays) LEFT JOIN begun USING (tenant, id)
