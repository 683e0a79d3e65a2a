"""Tags of every format by one set of names: read, united, written with the audio stream proven untouched."""
