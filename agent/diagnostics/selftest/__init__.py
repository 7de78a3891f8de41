"""`vigie selftest`: a test pattern through the real parts of a box, and the check of the results."""
