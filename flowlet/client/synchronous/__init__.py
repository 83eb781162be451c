# Generated from flowlet/client/asynchronous/__init__.py by `make client`. Edit that file, not this one.
