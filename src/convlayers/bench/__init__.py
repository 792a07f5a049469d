"""What ``convlayers bench`` does: lists of shapes, peers, a check of every result, and then the time.

``shapes`` reads lists, ``problems`` has the project's own, ``problem`` says what a row means, ``reference`` and
``check`` decide what is right, ``limits`` measures the machine, ``timing`` the calls, ``runner`` does a row,
``summary`` forms means of lists and kinds (``kinds``), ``report`` prints and saves, ``render`` and ``picture`` show
what was saved, and ``footprint`` measures memory. It needs only torch and the standard library; peers of other projects
need theirs.
"""
