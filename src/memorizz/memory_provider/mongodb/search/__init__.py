"""A search in MongoDB: `plan` its routes, the `pipelines` that serve them, `run` them, `score` what they found."""
