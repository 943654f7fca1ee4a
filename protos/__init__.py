"""The wire schema (`acestep/v1/acestep.proto`) and the modules generated from it with `make protos`."""
