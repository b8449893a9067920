"""How the box is served: sockets, requests, limits, and what clients were seen to do."""
