"""Delta tables through delta-rs, for every engine that reads and writes tables on this machine."""
