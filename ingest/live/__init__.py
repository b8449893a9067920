"""The sockets around the protocol cores."""
