"""The running agent's doors for programs at the box: clips, the console, the self-test."""
