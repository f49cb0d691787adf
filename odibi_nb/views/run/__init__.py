"""Views of a run and its log, during the run and afterwards."""
