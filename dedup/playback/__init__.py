"""Files as sound that a browser can play, on one musical time axis."""
