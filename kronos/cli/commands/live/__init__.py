"""The commands for a trained run: what serves, watches and scales it."""
