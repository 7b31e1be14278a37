"""Tasks: a generator or reader, a verifier and a known answer."""
