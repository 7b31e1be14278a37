"""Discovery: recipes that fit a graph to a table, and refuters that try to break it."""
