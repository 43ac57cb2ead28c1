"""Training: one small loop, its losses, its state on disk."""
