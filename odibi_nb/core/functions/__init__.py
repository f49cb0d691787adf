"""Users' functions: found, imported fresh, decorated, read and replaced."""
