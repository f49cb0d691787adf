"""Live runs in the notebook: pictures on surfaces, background runs and the buttons that cancel."""
