"""The commands about people: ``user``, ``key`` and ``team``."""
