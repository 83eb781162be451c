"""What the console's pages show of all that is stored: a module for each page's figures. Nothing here writes."""
