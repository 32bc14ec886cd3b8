"""Training the small model on the illustrated world."""
