"""`vigie probe`: find the devices connected to this box. Moves and changes nothing."""
