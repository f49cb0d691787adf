"""Delta tables through delta-rs, as every engine on this machine reads and writes them."""
