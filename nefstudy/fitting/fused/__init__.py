"""One GPU program takes one field through many steps (Triton)."""
