"""HiDream Studio: a local studio for HiDream-O1-Image. Explore cheap, finish the picks."""

__version__ = "0.1.0"
