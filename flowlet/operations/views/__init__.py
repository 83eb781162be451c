"""Saved views of the workflow list: what its address may hold, and the operations on views."""
