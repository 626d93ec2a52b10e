"""Pictures in: from any folder or archive to one uint8 array."""
