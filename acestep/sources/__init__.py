"""The audio that a request names: what the file says about itself, what is heard in it, and whether the two
agree.
"""
