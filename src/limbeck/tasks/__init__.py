"""Tasks: what one is asked, and how its answers are judged. One file a task."""
