"""Which weights are trained, and in which precision."""
