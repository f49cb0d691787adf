"""A live run in the notebook: pictures on surfaces, background runs, the buttons that cancel."""
