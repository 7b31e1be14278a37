"""Contrastive estimation and preference training: samples, selection, scores, losses."""
