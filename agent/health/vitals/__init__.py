"""How the machine is: what the kernel, the board and its disk tell of themselves."""
