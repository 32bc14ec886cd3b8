"""From a run's numbers to what a person reads: tables, charts, sheets, HTML and Markdown. Measures nothing."""
