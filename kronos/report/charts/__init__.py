"""The charts of the verdict."""
