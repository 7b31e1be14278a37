"""Hybrid reasoning: gated latent inputs, trained by reinforcement with their controls."""
