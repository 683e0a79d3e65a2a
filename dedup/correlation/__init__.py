"""The all-pairs comparison: tiles, kernels, scores."""
