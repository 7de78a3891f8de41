"""Health of the box: vitals, faults of the machine, degradation, flight recorder, restart report."""
