"""What commands operate on: a database, or a server through its API."""
