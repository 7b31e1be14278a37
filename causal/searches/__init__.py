"""causal-learn's algorithms: one call, one direction of edges, one report."""
