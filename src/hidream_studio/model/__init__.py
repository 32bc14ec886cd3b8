"""HiDream-O1-Image as tensors: prompt ids and noisy patches in, clean patches out. Knows nothing of steps or jobs."""
