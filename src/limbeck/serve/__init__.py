"""Serving: a finished run answers texts. Imports nothing of training."""
