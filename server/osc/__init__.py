"""OSC over UDP: packets, addresses, sessions, subscribers."""
