"""What every command line shares: flags, terminal, progress, logging, version, the machines that work."""
