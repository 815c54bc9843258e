-- Every document has parts.

ALTER TABLE {parts} ADD CONSTRAINT {parts_document} FOREIGN KEY (tenant, id) REFERENCES {table} ON DELETE CASCADE;
