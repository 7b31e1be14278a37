"""A finished analysis as a Result."""
