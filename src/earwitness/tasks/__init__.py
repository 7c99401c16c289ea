"""What goes on without a request: following calls, delivering events, supervising pipelines, expiring records."""
