"""Evidence: how good, how varied and how original pictures are."""
