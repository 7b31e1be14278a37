"""Whether the data fix an order: resamples, nulls, variants, the verdict."""
