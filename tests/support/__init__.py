"""What several test files share: daemons, doubles of hosts, small checkpoints, made-up music."""
