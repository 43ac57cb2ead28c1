"""Recipes: what to do, with every default in one place. Imports no torch."""
