"""The audio a request names: what it says of itself, what is heard in it, and where it contradicts."""
