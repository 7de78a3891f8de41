"""The technician's side: a console for a serial cable. Pure but for the terminal's own line."""
