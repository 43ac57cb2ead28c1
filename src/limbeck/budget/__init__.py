"""From a budget to a structure: what sizes cost on this machine, and the best that fits."""
