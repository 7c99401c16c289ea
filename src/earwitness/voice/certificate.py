"""What a certificate of deletion is signed for. A signature for this proves nothing else, and none for else this."""

CERTIFICATE_PURPOSE = "earwitness certificate of deletion 1"
