"""What first runs fail on: each check says in a line what it found, and in another how to mend it.

What is configured has to answer, or it is wrong; what is optional and missing is advice. Checks run side by side, and
no longer than a limit: what may hang, or takes long to import, is a process of its own that can be ended.
"""
