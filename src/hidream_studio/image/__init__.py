"""Pixels to files and back: PNG with its settings, thumbnails, previews, contact sheets. Knows neither HTTP nor SQLite."""
