"""Runtimes: a finished model answers texts, by transformers or by onnxruntime."""
