"""Store and read the records of runs: journal, run log, history, retries and the run lock."""
