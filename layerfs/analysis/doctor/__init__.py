"""Parts of `doctor` that every kind of store shares: findings, and what files take on disk."""
