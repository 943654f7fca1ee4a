"""Clips made on a Ray cluster: the daemon stays as it is, and replicas of the cascade do the work.

Only imported where the setting `cluster` asks for it. `engine` is the daemon's side, `replica` the other one;
`work` is what they tell each other; `depot` and `store` bring cascades, adapters and audio to nodes.
"""

from server.config import Config
from server.jobs.engine import Engine


def engine_on(config: Config) -> Engine:
    """The engine that the settings ask for. Raises Unavailable where Ray is not installed."""
    from acestep.errors import Unavailable

    try:
        import ray.serve  # noqa: F401
    except ImportError as error:
        raise Unavailable(
            f"--cluster needs Ray, which is not installed ({error}): "
            'python -m pip install "acestep-bridge[cluster]"'
        ) from None
    from server.cluster.engine import Cluster

    return Cluster(config)
