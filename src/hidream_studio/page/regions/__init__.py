"""What one sees, one file a region: built once from the session, then redrawn by its signals. Decides nothing."""
