"""The gRPC port: the service, its messages, quotas and uploads."""
