"""What the centre drew on the picture, and what breaks it. Pure: tracks and time in, events out."""
