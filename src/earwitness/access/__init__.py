"""Who asks, what they may do, and how lists and repeated requests are answered: the same for both APIs."""
