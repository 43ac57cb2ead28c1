"""Export: ONNX variants of a model, and the gate that takes them or refuses them."""
