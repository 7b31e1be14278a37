"""Training and running chains of sentences."""
