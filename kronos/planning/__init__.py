"""The dry run: what a run would train, how long it would take, and what to reconsider first."""
