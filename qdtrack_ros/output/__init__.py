"""What goes out: tracks as messages and as pictures, and the publishers of both."""
