-- How many of the best by their bits are to be compared: fewer than all that ever are, where fewer keep enough.
ALTER TABLE memorizz_bits ADD COLUMN compared integer NOT NULL DEFAULT 800;
ALTER TABLE memorizz_bits ALTER COLUMN compared DROP DEFAULT;
