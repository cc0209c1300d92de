"""One machine that runs what git says: two slots, blue and green, behind a gateway, and a change that can go back.

`machine` is the way in and decides; `slots` runs the services, `gateway` HAProxy, `state` remembers, `unpack` gets a
service out of its image.
"""
