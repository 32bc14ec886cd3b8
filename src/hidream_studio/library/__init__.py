"""History: SQLite and files, one writer, lineage, search. Knows neither HTTP nor torch."""
