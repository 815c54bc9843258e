-- One partition of a store's documents, and that of their parts: of the tenants whose hash leaves this remainder.

CREATE TABLE {partition} PARTITION OF {table} FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number}) {filled};
CREATE TABLE {partition_of_parts} PARTITION OF {parts} FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number});
