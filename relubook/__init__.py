"""Helper package of relubook, the executable textbook on rectifiers."""
