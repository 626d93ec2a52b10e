"""Pictures to and from files and pipes. Nothing here imports torch."""
