"""How small weights are learned."""
