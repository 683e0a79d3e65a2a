"""What every command stands on: settings, output, stores, signals."""
