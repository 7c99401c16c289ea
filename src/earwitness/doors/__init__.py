"""Calls from phone systems: a door takes a call as they hand it over. To AWS programs it is a Voice Connector.

What belongs here: the protocols, as cores without I/O, and the one way their audio takes into the media log. What must
never: records (`desk.py` is the seam to them), decisions about voices.
"""
