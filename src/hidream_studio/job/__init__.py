"""What to make: the request, the job that it pins, sizes, presets, profiles, events. Knows nothing of tensors."""
