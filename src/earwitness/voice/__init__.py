"""The nouns of speaker search and their rules, as pure values: no file, no model, no clock.

One meaning each: `Score` is a raw cosine, `ConfidenceScore` a calibrated probability, `NetSpeech` speech
with the silence taken out, `Voiceprint` an embedding that was enrolled.
"""
