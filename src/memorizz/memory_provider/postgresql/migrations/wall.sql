-- Row-level security of one table, of documents, of their parts or of their history, while tenants are kept apart: whose rows a transaction is
-- about, its setting says. Unset, or set back to the '' that it is after its first use, there are none.
-- Who else is let through stands in a policy too: the owner, for migrations, maintenance, and the functions below. So an owner
-- that is a new one, as the application may be by mistake, sees nothing.
-- A partition that is asked by its own name has its own policies, and nobody has a right to it.

ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY memorizz_tenant ON {table} USING (tenant = nullif(current_setting('memorizz.tenant', true), ''));
CREATE POLICY memorizz_owner ON {table} TO {owner} USING (true);
REVOKE ALL ON {table} FROM {role};
