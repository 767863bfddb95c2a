"""Tasks: what one frozen configuration is asked for, and the words under which that is recorded."""
