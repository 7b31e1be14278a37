"""What lenses share: translators, their training, their loss per token and their report."""
