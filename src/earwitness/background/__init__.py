"""What runs beside requests, built and wired: tasks, deliveries, the ends of pipelines and media, expiry.

What belongs here: which parts there are, and how they start and stop. What must never: what any of them does.
"""
