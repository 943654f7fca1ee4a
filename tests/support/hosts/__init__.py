"""Hosts that nobody here wrote, run against the plugin: how they are started, and what they are asked to do.

`building` builds the plugin once; `peer` speaks for the daemon; the other files are scripts run inside the
hosts' own interpreters (dawdreamer, pedalboard, Ardour's Lua).
"""
