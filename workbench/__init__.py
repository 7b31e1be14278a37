"""A workbench that runs a language model, records what happens inside and keeps the answers."""
