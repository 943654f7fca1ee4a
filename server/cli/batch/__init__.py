"""`acestep batch`: thousands of requests from a file, through a running daemon, as often as it takes."""
