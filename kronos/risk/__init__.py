"""What may be lost: measures from sampled paths, their backtests, and the price limits of exchanges."""
