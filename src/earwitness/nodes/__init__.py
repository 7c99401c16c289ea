"""More than one process on the same records: who lives, which node a stream's media come to, and reading them there."""
