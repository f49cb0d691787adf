"""What is kept of runs: journal, run log, history, retries, and the lock of the run that goes on."""
