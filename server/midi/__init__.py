"""MIDI in: clock and triggers, and files."""
