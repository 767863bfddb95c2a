"""The networks of the classifiers, and the graph and batch norm that they share."""
