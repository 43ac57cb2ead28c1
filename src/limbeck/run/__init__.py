"""One run: its folder, its material, its plan, its teacher's answers and its arms."""
