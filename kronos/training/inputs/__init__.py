"""What the models read: the order of windows, and their tokens."""
