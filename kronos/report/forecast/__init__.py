"""Pictures and pages of a forecast."""
