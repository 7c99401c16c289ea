"""SIPREC (RFC 7866, 7865): a session border controller records a call by calling us, with one stream for each party.

`listener` has the sockets. It hands messages to `server` (transactions) and `dialog` (one call's signalling); `call`
makes events of what they tell, with `sdp`, `metadata` and `caller`; `rtp` and `srtp` make samples of packets.

What belongs here: SIP as far as a session recording server needs it. What must never: registering, calling anybody.
"""
