"""The teacher: loaded frozen, checked, and asked."""
