"""Working inside other applications: below a prefix, and beside another ASGI application."""
