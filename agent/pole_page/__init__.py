"""The page at the pole: a technician's phone next to the box, over HTTPS, as long as the console has it turned on."""
