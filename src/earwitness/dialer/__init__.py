"""A phone system of our own, for trying doors: a recording becomes a call.

What belongs here: clients of doors, one module a protocol. Encoders are beside the decoders, in `doors`. What must
never: anything of the service.
"""
