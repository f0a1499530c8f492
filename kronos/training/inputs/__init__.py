"""The models' inputs: the order of the windows, and their tokens."""
