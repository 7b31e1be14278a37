"""Score tables: reading, cleaning, base-model domains, identity of a snapshot."""
