"""The ways of reaching inside a model, one module each, imported when asked for."""

BACKENDS = ("hooks", "transformer-lens", "nnsight")
