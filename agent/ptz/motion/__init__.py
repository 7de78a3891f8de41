"""Motion of a head: planning around sectors, trajectories, and the field of view."""
