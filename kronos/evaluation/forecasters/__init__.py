"""Everything that can forecast, behind one interface."""
