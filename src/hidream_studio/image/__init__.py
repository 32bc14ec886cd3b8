"""Pixels to files and back: PNG and its settings, thumbnails, contact sheets. Knows neither HTTP nor SQLite."""
