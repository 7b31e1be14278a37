"""Beliefs about hidden states: what a network knows of them, beside what can be known."""
