"""Voice models: a catalogue, their fetching, checking and conversion, and open ONNX sessions.

The only room that knows onnx and onnxruntime. No audio and no speakers here.
"""
