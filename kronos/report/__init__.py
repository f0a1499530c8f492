"""What people look at: forecasts drawn beside what came."""
