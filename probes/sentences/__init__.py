"""What the sentence lens is made of: states at sentence ends, ways to read them, controls."""
