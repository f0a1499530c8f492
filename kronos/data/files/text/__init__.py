"""Tell the layout of a text table and read its numbers."""
