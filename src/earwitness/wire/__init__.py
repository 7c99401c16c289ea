"""AWS's REST-JSON protocol, the server's half of it, over botocore's service models.

    Request ─> sigv4      who signed this, and is the signature good
            ─> router     which operation: by method, path and constant query
            ─> parse      path, query, headers and body as one dictionary of parameters
            ─> validate   required, types, lengths, ranges, patterns, enumerations
            ─> …          the operation itself, which lives elsewhere
            ─> serialize  its result as a Response     ─┐
               faults     or its error as a Response   ─┴─> client

What belongs here: what is true of the protocol for any service. What must never: what one operation does, records, or
sockets. A `RequestError` is the only error that a request can cause.
"""
