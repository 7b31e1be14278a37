"""Probes: recipes that ask a question of a model's inside."""
