"""Fairway's benchmark: the same work on a bare loop, Fairway, Channels 4 and others, in turns, on one machine.

Run it with ``python -m bench`` (see ``--help``) or ``make bench``. The modules, from the question to the answer:

plan        what is measured: the shapes of load, their sizes and how long they run
payloads    what the messages say
contenders  who is measured: each says what it needs, which commands start it and which shapes it can do
floor       the floor: a bare uvloop program that only writes frames
apps        the Django projects of the other contenders
processes   starting and ending server processes; their CPU time and memory, read from the operating system
wire        WebSocket bytes of the client's side, by hand
client      raw sockets: opening a thousand of them, reading one of them
loads       the closed loops: fan-out and echo
crowd       a fan-out whose sockets are those of another process, because they are so many
messages    messages through a layer alone, driven from here
post        the processes that send and receive them
later       messages for later: how late they are, what scheduling and delivering costs
scheduler   the process that schedules them
views       HTTP: wrk asks a Django view
occasions   what happens once in a while: a server starts, a worker is killed
restarts    Redis is killed under live sockets, and comes back empty
profile     where the time goes, by room of the house
exercise    one shape on one contender, from opening the sockets to a sample of numbers; idle memory
runner      rounds and turns
results     medians, spreads, ratios
goals       what the numbers are held against
tables      the columns of each kind of shape
report      tables for the terminal and for RESULTS.md, and JSON
"""
