"""Text and what is made of it: JSON, TOML, times, what a terminal wrote, secrets in it."""
