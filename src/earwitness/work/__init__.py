"""Who runs which task: in this process (`local`); a queue between many processes comes behind the same seam.

What belongs here: handing tasks to workers, telling a running one that its record has changed, taking tasks up again
after a crash. What must never: what a task does, and its status, which only its record says.
"""
