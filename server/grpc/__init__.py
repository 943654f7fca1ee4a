"""The gRPC port: the service, its messages, and quotas."""
