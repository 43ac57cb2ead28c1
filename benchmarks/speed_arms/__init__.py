"""The arms of the speed benchmark: limbeck, its rivals, and the process each one runs in."""
