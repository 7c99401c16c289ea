"""What the rooms above count and time, and its text for Prometheus."""
