"""HTTP: translates between calls and one `service.Studio`, and nothing else. `app.create_app` puts it together."""
