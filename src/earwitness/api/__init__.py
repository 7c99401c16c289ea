"""AWS's operations, one module per resource, and who may call them.

A class per resource; a method per operation takes the caller and the parameters, already parsed and validated against
the service model, and returns the members of the output shape, or raises a RequestError. What belongs here: what AWS's
words mean to our records. What must never: HTTP, SQL, threads.
"""
