"""AWS's services as earwitness calls them: how their clients are set up, and what their errors mean.

What belongs here: what both those who send events and those who read streams need of boto3. What must never be here:
what is sent or read.
"""
