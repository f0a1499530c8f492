"""What works here: the software, the machine, the models at hand, and the published forecasts."""
