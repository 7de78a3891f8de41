"""Acts of a technician at a box: functions that return values, which the console prints and the page at the pole shows."""
