"""What ``convlayers bench`` does: lists of shapes, peers, a check of every result, and then the time.

``shapes`` reads lists, ``problem`` says what a row means, ``reference`` and ``check`` decide what is right, ``limits``
measures the machine, ``timing`` the calls, ``runner`` does a row, ``report`` prints and saves. It needs only torch and
the standard library.
"""
