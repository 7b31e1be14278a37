"""Front ends: command line and dashboard."""
