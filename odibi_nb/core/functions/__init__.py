"""Users' functions: lookup, fresh import, decorators, and source text."""
