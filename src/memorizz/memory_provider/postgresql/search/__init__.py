"""A search: planned (`plan`), composed (`sql`), run (`run`), turned into hits (`score`), measured (`recall`)."""
