"""The formats of files with registry rows: JSON, TOML and CSV."""
