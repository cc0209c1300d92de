"""One machine that runs what git says: two slots, blue and green, behind a gateway, and a change that can go back.

`follow` is the way in and asks git; `machine` decides; `state` remembers. A `host` is where it happens: `processes` of
this project's environment, or `compose`, containers beside their monitoring. `slots` and `gateway` are what both have
in common, and `unpack` gets a service out of its image where no container runs it.
"""
