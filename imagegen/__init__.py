"""Turn a folder of pictures into an image generator, on the machine you have."""

__version__ = "0.1.0"
