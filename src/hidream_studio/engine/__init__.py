"""The worker process: the resident model, a job as a generator of steps, the loop that decides whose step is next.

`messages` and `entry` need no torch, so that the server may import them.
"""
