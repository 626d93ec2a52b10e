"""The training collection for the general codec and the general model."""
