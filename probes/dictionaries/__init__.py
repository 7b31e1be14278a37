"""Sparse dictionaries of a site: reading and writing them, their mathematics, their training."""
