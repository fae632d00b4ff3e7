"""Messages for later: a database keeps them, and a delay server lets them go when they are due.

Whoever wants a message to be sent later sends it to the delay server first, on the channel `asgi.delay`. The server
stores it, and only then acknowledges it; from then on it survives whatever dies. When its time has come it goes to the
layer, and only then leaves the database. So between any two steps a server may be killed, and the worst that follows is
that a step is done twice: a message is stored under a name made from the id under which it came, and is sent under an
id made from that name, so neither the table nor the layer takes it twice.

    models      what is stored
    parsing     what may be asked for: bytes in, a request or a refusal out
    database    the database, and transactions that lock
    tables      whether the table is there
    storing     requests into the table, in one transaction
    sending     what is due out of the table
    agenda      when there is something to do next
    absence     a database or a layer that is away
    reports     what the log is told, and how often
    limits      how much of everything, and how long
    server      the loop around all of these
    process     the life of `manage.py rundelay`
"""
