"""Pieces the dashboard pages are made of."""
