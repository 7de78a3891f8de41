"""One change of the configuration: its layers are merged and checked, it is on trial, then confirmed or rolled back."""
