"""What a stage leaves on disk, and taking it up again."""
