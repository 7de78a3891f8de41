"""Checks of a whole box: self-test, commissioning, support bundle, probe."""
