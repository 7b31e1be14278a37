"""Reasoners: strategies that drive a model from a prompt to a chain."""
