"""System updates: slots, feed, download, checks, and installation by RAUC."""
