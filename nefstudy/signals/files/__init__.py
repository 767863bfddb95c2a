"""Readers of file contents: file types, npz arrays and image pixels, validated before use."""
