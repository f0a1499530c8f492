"""Divergence, lack of memory and SIGTERM."""
