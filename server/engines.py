"""Which engine the settings ask for: this process, or replicas on a cluster."""

from acestep.errors import InvalidRequest
from server.config import Config
from server.jobs.engine import AceStep, Engine


def engine_of(config: Config) -> Engine:
    """The engine. Raises Unavailable where `cluster` is set and Ray is not installed."""
    if not config.cluster:
        if config.replicas:
            raise InvalidRequest(
                f"replicas {config.replicas} need a cluster, and none is set: add --cluster auto"
            )
        return AceStep(config)
    from server.cluster import engine_on  # brings Ray, which only a cluster needs

    return engine_on(config)
