"""What can be done at the console: a file for each command, with NAME, HELP, USAGE and `run`."""
