"""Where queue, library and cost model meet: one `Studio`, shared by the HTTP interface and the page."""
