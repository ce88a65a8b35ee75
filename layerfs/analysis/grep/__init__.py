"""Questions about one tree: what its layers hold, what they hide, who made it."""
