"""Masked diffusion: training a network, and measuring how it decodes."""
