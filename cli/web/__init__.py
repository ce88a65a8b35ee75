"""`explore --web`: the terminal browser on a page of this machine, for whoever has its address."""
