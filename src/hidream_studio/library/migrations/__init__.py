"""How the tables came to be: one numbered file a change, run when a library is opened."""
