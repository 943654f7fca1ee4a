"""Tools for assistants that speak MCP: make clips, list and inspect them, train adapters and list them.

Served at `/mcp` of `acestep web`, and over stdin and stdout by `acestep mcp`.
"""
