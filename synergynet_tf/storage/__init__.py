"""Files: written whole, read whole or refused, locked while they are in use."""
