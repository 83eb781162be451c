"""Housekeeping of the store: bounded steps; the caller rests between them."""
