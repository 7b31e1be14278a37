"""Training a sentence codec of two adapters: its sentences, its lesson, its judgement."""
