"""What runs: models, sites, edits and the record of a run."""
