"""Diverging, running out of memory and being stopped."""
