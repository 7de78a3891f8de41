"""The fleet as its operators see it: state of each box, rows of a table, the screen of `vigie watch`."""
