"""Acts of a technician at a box, each declared once: the console prints its result, and the page at the pole shows it."""
