"""Effects of concepts on what a model answers: rows, explainers, errors, edits of states."""
