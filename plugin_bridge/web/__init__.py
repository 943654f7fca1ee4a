"""The page in the browser: generate, listen, keep, train. A plain client of the daemon, without a model.

Importing this package loads nothing; `python -m plugin_bridge.web` serves the page. Gradio is the optional
extra `web`.
"""
