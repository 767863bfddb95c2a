"""Routes of the status service, one module per resource."""
