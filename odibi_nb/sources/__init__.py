"""Adapters that read the TransformationRegistry: one module per kind of storage."""
