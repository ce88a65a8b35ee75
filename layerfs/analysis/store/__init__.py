"""Questions about a whole store: what it lists, who needs what, what happened when."""
