"""What runs in or beside the DAW: Python client, Ableton Live script, plugin, REAPER script.

`Bridge` and `AsyncBridge` are loaded when first used, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugin_bridge.aio import AsyncBridge
    from plugin_bridge.client import Bridge

__all__ = ["AsyncBridge", "Bridge"]


def __getattr__(name: str) -> Any:
    if name == "Bridge":
        from plugin_bridge.client import Bridge

        return Bridge
    if name == "AsyncBridge":
        from plugin_bridge.aio import AsyncBridge

        return AsyncBridge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
