"""Probing that outgrows memory and survives interruption: plans, shards, resume."""
