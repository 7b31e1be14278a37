"""Measures of the geometry of hidden states: what the isotropy probe computes."""
