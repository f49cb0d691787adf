"""Views of one transformation: its explanation, trial, failure and registry edit."""
