"""The verdict's page."""
