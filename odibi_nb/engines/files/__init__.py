"""Files that rows read: where they are, how their bytes and columns are to be understood."""
