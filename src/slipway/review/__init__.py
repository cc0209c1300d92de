"""`slipway review`: is the candidate in the workspace good enough to replace what the base revision has?

`run` is the way in; `base` and `candidate` bring the two models, `compare` scores them on the same rows, `gates`
judges, and `verdict` is what comes out.
"""
