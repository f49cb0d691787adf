"""Files that rows read: find them, and interpret their bytes and columns."""
