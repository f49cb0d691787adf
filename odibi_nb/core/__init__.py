"""The orchestrator itself: pure Python, no notebook, no DataFrame library, no database."""
