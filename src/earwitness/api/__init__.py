"""AWS's operations, one module per resource, and who may call them.

`operations.py` is the table of what is served. An operation is a function of the context, the caller and the
parameters, already parsed and validated against the service model; it returns the members of the output shape, or
raises a RequestError. What belongs here: what AWS's words mean to our records. What must never: HTTP, SQL, threads.
"""
