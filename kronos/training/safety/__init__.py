"""Divergence, lack of memory and signals."""
