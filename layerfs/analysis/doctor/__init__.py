"""What can be wrong with a store, what it means, and what it costs."""
