"""The wire schema (`acestep/v1/acestep.proto`) and the modules generated from it with `make protos`.

`WIRE_VERSION` changes only when a bridge must change with the daemon; each refuses one it does not speak.
"""

WIRE_VERSION = "1"
