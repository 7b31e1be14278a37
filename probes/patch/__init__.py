"""Parts of activation patching: pairs, aligned places, batches of patches, slopes."""
