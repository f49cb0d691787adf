"""The IPython front end: magics, live displays and the panel."""
