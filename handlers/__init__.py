"""Door 1: REST. One module per API, each ending in its routes."""
