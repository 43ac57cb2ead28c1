"""Knowledge: what the teacher said, asked once, kept on disk, shared by every run."""
