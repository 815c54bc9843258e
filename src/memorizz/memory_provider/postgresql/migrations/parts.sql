-- The vectors of the parts of a store's documents: of several fields, of a long text in pieces. `start` and `stop` are
-- where a part begins and ends in the text at its path, `digest` is of its text, or that of the text that it is a piece of:
-- the document's `pieces`. A part without a vector waits for one.

CREATE TABLE {parts} (
    tenant text NOT NULL,
    id uuid NOT NULL,
    path text NOT NULL,
    start integer NOT NULL,
    stop integer NOT NULL,
    digest uuid NOT NULL,
    {vector} {vector_type}({dimensions}),
    CONSTRAINT {parts_key} PRIMARY KEY (tenant, id, path, start, stop, digest)
) {partitioned};
ALTER TABLE {parts} ALTER COLUMN {vector} SET STORAGE EXTERNAL;
