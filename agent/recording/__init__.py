"""The ring of footage: packets in, closed segments out."""
