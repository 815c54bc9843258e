-- Tells these tables from all others, by whatever address they are reached: what deletes one side of a copy compares it.
ALTER TABLE memorizz_settings ADD COLUMN identity uuid NOT NULL DEFAULT gen_random_uuid();
