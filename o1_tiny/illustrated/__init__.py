"""An illustrated world, its edits, a judge of it, and the training of a small model that paints it."""
