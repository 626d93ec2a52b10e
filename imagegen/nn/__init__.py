"""Parts of networks, and the methods of families that are more than a few lines."""
