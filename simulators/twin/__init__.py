"""The twin: the server's pure policies in a closed loop with a simulated world, held against the truth.

In virtual time: no socket, no wait. Unlike the rest of the simulators it imports ``policies`` and ``csms.domain``: they
are what it examines. From the inside out:

- ``cases``: what happens in a run, as data. ``fleet`` draws one by chance.
- ``world``: physics: what really is in the batteries and what really went through the plugs.
- ``meters``: what the stations tell of it. ``sight``: what the server makes of that.
- ``loop``: observe, decide, obey, step by step. ``books``: the server's report and ledger of a run.
- ``truth``: both held against the world, and against the *paired run*: the same without the DR event. ``dues``: what
  the rule of payment comes to for the true energies.
"""
