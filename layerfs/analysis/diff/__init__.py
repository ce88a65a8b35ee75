"""Questions about two trees: where they differ, and how."""
