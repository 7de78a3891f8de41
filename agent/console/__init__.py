"""The wiring of `vigie console`: what the technician's commands ask, from files, drivers and doors."""
