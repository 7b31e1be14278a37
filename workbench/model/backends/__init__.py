"""The ways of reaching inside a model."""
