"""The API reference, as the documentation page shows it."""
