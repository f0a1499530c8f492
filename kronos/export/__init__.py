"""Models for other programs: ONNX graphs that need no PyTorch, and MLflow."""
