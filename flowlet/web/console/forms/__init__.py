"""Forms: the controls made from a model, the values that a form sends, and what both do with a workflow."""
