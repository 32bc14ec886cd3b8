"""What to make: the request, the job that it pins, sizes, presets, profiles, records. Knows nothing of tensors."""
