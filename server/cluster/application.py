"""The Serve application: replicas, how many, and what each of them takes.

The daemon deploys it, or `serve deploy` and KubeRay do, by its path `server.cluster.application:build`.
"""

from collections.abc import Mapping
from typing import Any

from ray import serve

from acestep.errors import InvalidRequest
from server.cluster.replica import Replica
from server.cluster.work import DEPLOYMENT

FINISH_S = 600.0  # a replica that is to go may end its work first
LOAD_S = 1_800.0  # and one that comes may take this long to fetch and load its cascade
UP_S, DOWN_S = 1.0, 120.0  # a loaded cascade is dear: quickly there, slowly gone
LOOK_S = 1.0
NEVER = 1_000_000  # failed starts before Serve gives up: a node with the wrong version may be mended


def bounds(replicas: str) -> tuple[int, int]:
    """Least and most replicas, from "2" or "1:8"; one for "". Raises InvalidRequest."""
    least, _, most = (replicas or "1").partition(":")
    found = int(least), int(most or least)
    if found[0] > found[1]:
        raise InvalidRequest(f"replicas {replicas} has more as its least than as its most: expected 1:8")
    return found


def application(replicas: str, gpus: float, cpus: int, version: str = "") -> serve.Application:
    """Replicas on any node that has the GPUs and cores. Raises InvalidRequest for their number."""
    least, most = bounds(replicas)
    scaled: dict[str, Any] = {"num_replicas": least}
    if least != most:
        scaled = {
            "autoscaling_config": {
                "min_replicas": least,
                "max_replicas": most,
                "target_ongoing_requests": 1,
                "upscale_delay_s": UP_S,
                "downscale_delay_s": DOWN_S,
                "metrics_interval_s": LOOK_S,
                "look_back_period_s": 2 * LOOK_S,
            }
        }
    deployment = serve.deployment(
        Replica,
        name=DEPLOYMENT,
        max_ongoing_requests=1,
        graceful_shutdown_timeout_s=FINISH_S,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=5,
        max_constructor_retry_count=NEVER,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        **scaled,
    )
    return deployment.bind(version, most)


def build(arguments: Mapping[str, Any]) -> serve.Application:
    """For a configuration file of Serve; `args`: replicas, gpus_per_replica, cpus_per_replica."""
    return application(
        str(arguments.get("replicas", "1")),
        float(arguments.get("gpus_per_replica", 1)),
        int(arguments.get("cpus_per_replica", 1)),
    )
