"""From noise to picture, over a callable that predicts. Knows nothing of prompts, checkpoints or files.

`schedules` needs no torch; the rest does.
"""
