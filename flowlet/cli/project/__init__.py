"""The commands for writing workflows: ``new`` and ``dev``."""
