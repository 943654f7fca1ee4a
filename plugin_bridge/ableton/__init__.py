"""The Ableton Live side: `AceStep/` is the folder that Live wants among its remote scripts.

`plugin-bridge install live` copies it. It runs inside Live's own Python (3.7 in Live 11 and 12.0, 3.11 since
12.1), so it uses 3.7 syntax and the standard library only, and imports nothing of this project.
"""
