"""A rendered street whose truth is known: what moves in it, how it looks, and where it is seen."""
