"""The driver's Ray cluster: an existing one, or a local Ray that the driver starts and stops."""
