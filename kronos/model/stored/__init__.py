"""The two files of a model folder: config.json and model.safetensors."""
