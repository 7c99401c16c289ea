"""Where events go: queues, topics, functions and streams of AWS or of what speaks like it, webhooks, a file.

What belongs here: sending the bytes of one event to one target, and what its answer means. What must never: making
events, keeping them, deciding when to try again, reading settings. boto3 is known here and to nobody above.
"""
