"""What a tree can be shown as. Sees a tree and nothing else."""
