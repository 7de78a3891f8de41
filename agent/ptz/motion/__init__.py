"""Motion of a head: planning around sectors, trajectories, and what a picture shows."""
