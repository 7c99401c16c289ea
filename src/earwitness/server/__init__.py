"""The HTTP server: sockets to exchanges and back, health, limits against slow and huge clients, start and stop.

What belongs here: ASGI, uvicorn, time-outs. What must never: what a request means.
"""
