"""Lists of workflows: their filters, the columns that they show, and their export as a file."""
