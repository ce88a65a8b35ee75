"""What can be wrong with a containerd root, and what that means."""
