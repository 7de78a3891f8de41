"""The support bundle: what a box has to tell, gathered without its secrets."""
