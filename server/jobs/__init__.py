"""From a request to a finished job: intake, queue, worker, journal, recovery."""
