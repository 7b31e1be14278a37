"""Graphs with a known answer, and how close an estimate comes."""
