"""What things cost, measured side by side in one run, and whether the backends agree."""
