"""The commands. Each returns or raises; `run_command` alone decides what the user sees and the exit status."""
