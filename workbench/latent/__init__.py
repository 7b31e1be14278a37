"""Latent inputs: what may be fed back in place of a token, one loop, and how it is replayed."""
