"""Commands of the console: each module has its texts, and a `ConsoleCommand` or several."""
