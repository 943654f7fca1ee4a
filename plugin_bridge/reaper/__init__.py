"""The REAPER side: `acestep.py`, one ReaScript that `plugin-bridge install reaper` copies.

It runs inside REAPER with whatever Python 3 the musician has, and imports nothing of this project.
"""
