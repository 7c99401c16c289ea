"""earwitness's own JSON API under /earwitness/v1: what AWS's operations do not tell or cannot do.

One table of routes makes the application and its OpenAPI document. What belongs here: JSON over HTTP, who may ask,
recordings that are uploaded. What must never: SQL, AWS's shapes, sockets.
"""
