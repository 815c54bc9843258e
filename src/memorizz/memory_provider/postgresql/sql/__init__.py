"""Every statement but those of a search: what reads, what changes, and the conditions that both use."""
