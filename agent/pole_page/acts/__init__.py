"""The acts of the page at the pole: each calls the function that the console's command calls."""
