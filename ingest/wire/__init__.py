"""What all protocol cores share: streams, numbers from outside, the book of a stream. No socket, no clock."""
