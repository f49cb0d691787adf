"""What belongs to the whole process, its children and its files: signals, streams, forks, folders."""
