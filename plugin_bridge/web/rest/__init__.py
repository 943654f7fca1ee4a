"""ACE-Step's own REST API over the daemon: programs written for ACE-Step's server find the same addresses.

`/release_task` starts a job of the daemon, `/query_result` tells of it, `/v1/audio` serves its clips.
"""
