"""earwitness: who is speaking, while the call is still going on.

The public surface is the command line, the settings and the file formats described in docs/; the Python
modules below are private and change without notice.
"""

__version__ = "0.1.0"
