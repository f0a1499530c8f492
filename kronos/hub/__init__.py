"""Models from the Hugging Face Hub, and models for it."""
