"""What the book and the README say about speed, measured side by side in one run."""
