"""What commands show: rows, their columns, and lines of text."""
