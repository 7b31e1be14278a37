"""Parts of steering: the direction, and the report of its doses."""
