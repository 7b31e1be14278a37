"""Training and judging of continuous thoughts."""
