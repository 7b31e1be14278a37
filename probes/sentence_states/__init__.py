"""What a state says of its sentence: texts, states, words, and the readout trained on them."""
