"""All forecasters, with one interface."""
