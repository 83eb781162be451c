"""Transactions that an application has begun with a library of its own."""
