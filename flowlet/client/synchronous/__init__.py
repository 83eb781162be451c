# Made of flowlet/client/asynchronous/__init__.py by `make client`. Change that one, not this one.
