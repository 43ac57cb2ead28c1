"""Evaluation: quality with intervals, speed, memory and size, and what they say in words."""
