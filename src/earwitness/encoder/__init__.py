"""Net speech to embedding: filter bank, CAM++, channel compensation. No files, no voice activity, no galleries."""
