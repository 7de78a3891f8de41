"""From a frame to events: where to look, what is there, what it did."""
