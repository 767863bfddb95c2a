"""Questions about a study, one module each; the answer is a figure or a table."""
