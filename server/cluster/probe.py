"""What is asked of a node before anything is deployed there; imports next to nothing."""


def installed() -> str:
    """The version of this package on the node that runs this."""
    from acestep.version import __version__

    return __version__
