"""The student: planned from a config, cut out of the teacher, its vocabulary trimmed."""
