"""Enrolled voices and the decision over them: exact search, the threshold for a gallery of N, calibrated
probabilities.
"""
