"""Runtimes: a finished model answers texts, by transformers, onnxruntime or OpenVINO."""
