"""The fitted graph as a structural causal model, and what can be asked of it."""
