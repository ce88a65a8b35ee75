"""One module a command, named after it; loaded only when that command runs."""
