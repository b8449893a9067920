"""Bybit: its messages, and its protocol as a core without sockets."""
