"""One transformation looked into: explained, tried, failed, edited."""
