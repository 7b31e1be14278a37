"""Small causal worlds whose questions have a computed answer."""
