"""How work is done and kept."""
