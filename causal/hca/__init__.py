"""Hierarchical component analysis: components, alignment, shared map, one gauge."""
