"""Real mounts: the tree they show is the kernel's, and they always end."""
