"""Run cases of the converted Autobahn suite against a server, and write what came of each. Runs where the suite does.

The cases, the fuzzing protocol and the verdicts are Autobahn's own. This file only connects, one case after the other
over several lanes, and carries the cases' strings (Latin-1 for bytes, see convert.py) over to a protocol that speaks
bytes.
"""

import argparse
import json
import sys
from pathlib import Path

PATIENCE = 30  # seconds for the server to answer a handshake, opening or closing, and to drop the connection


def main() -> None:
    """Parse the options, and import the suite only then: its place is one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", type=Path, required=True, help="directory that convert.py has made")
    parser.add_argument("--url", required=True)
    parser.add_argument("--results", type=Path, required=True, help="file for one JSON object a line")
    parser.add_argument("--lanes", type=int, default=1, help="cases to run side by side")
    parser.add_argument("--list", action="store_true", help="print the ids of the cases, and run none")
    parser.add_argument("cases", nargs="+", help="patterns, such as 1.* or 9.1.1")
    options = parser.parse_args()
    sys.path.insert(0, str(options.suite))
    if options.list:
        print(json.dumps(select(options.cases)))
        return
    with options.results.open("w") as results:
        run(options.url, select(options.cases), options.lanes, results)


def select(patterns):
    """The ids that match, in the suite's order."""
    from autobahntestsuite import case
    from autobahntestsuite.caseset import CaseSet

    cases = CaseSet(case.CaseSetname, case.CaseBasename, case.Cases, case.CaseCategories, case.CaseSubCategories)
    return cases.parseSpecCases({"cases": patterns})


def run(url, ids, lanes, results):
    """Run all cases; returns when each has a verdict."""
    from twisted.internet import reactor

    waiting = list(reversed(ids))
    running = set()

    def finished(lane):
        running.discard(lane)
        if not running:
            reactor.stop()

    factory = make_factory()
    for _ in range(min(lanes, len(ids))):
        lane = factory(url, waiting, results, finished)
        running.add(lane)
        lane.start()
    reactor.run()


def make_factory():
    """The class that runs one lane."""
    from autobahn.twisted.websocket import WebSocketClientFactory, connectWS
    from autobahntestsuite import case, fuzzing
    from autobahntestsuite.caseset import CaseSet

    protocol = make_protocol(fuzzing)

    class Lane(WebSocketClientFactory):
        """Takes one case after the other from the waiting ones."""

        def __init__(self, url, waiting, results, finished):
            super().__init__(url)
            # As the suite's own client, to see the closing handshake. Its patience of one second measures the machine:
            # a client that a neighbour keeps from its processor calls an answer late that has long arrived.
            self.setProtocolOptions(
                failByDrop=False,
                openHandshakeTimeout=PATIENCE,
                closeHandshakeTimeout=PATIENCE,
                serverConnectionDropTimeout=PATIENCE,
            )
            self.logOctets = self.logFrames = True
            self.CaseSet = CaseSet(
                case.CaseSetname, case.CaseBasename, case.Cases, case.CaseCategories, case.CaseSubCategories
            )
            self.specExcludeAgentCases = []
            self.waiting, self.results, self.finished = waiting, results, finished
            self.current = None

        def start(self):
            self.current = self.waiting.pop()
            connectWS(self)

        def buildProtocol(self, addr):
            built = protocol()
            built.factory = self
            built.caseAgent = "server"
            built.case = self.CaseSet.CasesIndices[self.current]
            built.Case = self.CaseSet.CasesById[self.current]
            built.runCase = built.Case(built)
            return built

        def clientConnectionLost(self, connector, reason):
            self.next()

        def clientConnectionFailed(self, connector, reason):
            result = {"result": f"no connection: {reason.getErrorMessage()}", "resultClose": "", "closeCode": None}
            about = {"description": "", "expectation": "", "seconds": 0, "wirelog": []}
            self.write({"behavior": "FAILED", "behaviorClose": "FAILED", **result, **about})
            self.next()

        def next(self):
            if self.waiting:
                self.start()
            else:
                self.finished(self)

        def write(self, result):
            self.results.write(json.dumps({"id": self.current, **result}) + "\n")
            self.results.flush()

    return Lane


def make_protocol(fuzzing):  # noqa: C901  one class of short methods
    """Autobahn's fuzzing protocol, between cases that hold strings and a connection that carries bytes."""

    def as_bytes(data):
        return data.encode("latin-1") if isinstance(data, str) else data

    def as_text(data, maxlen=64, replace=False):
        text = bytes(as_bytes(data[:maxlen])).decode("latin-1")
        return text if len(data) <= maxlen else text + " ..."

    fuzzing.asciiLogData = as_text
    fuzzing.binLogData = lambda data, maxlen=64: bytes(as_bytes(data[:maxlen])).hex()

    class Protocol(fuzzing.FuzzingClientProtocol):
        def sendFrame(self, opcode, payload=b"", **options):
            super().sendFrame(opcode, as_bytes(payload), **options)

        def sendMessage(self, payload, isBinary=False, **options):
            super().sendMessage(as_bytes(payload), isBinary, **options)

        def sendMessageFrameData(self, payload, sync=False):
            return super().sendMessageFrameData(as_bytes(payload), sync)

        def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
            super().sendCloseFrame(code, as_bytes(reasonUtf8), isReply)

        def onMessage(self, payload, isBinary):
            # The compression cases count and hash bytes; all others compare with the string that they sent.
            raw = hasattr(self.runCase, "TESTDATA")
            super().onMessage(payload if raw else payload.decode("latin-1"), isBinary)

        def onPong(self, payload):
            super().onPong(payload.decode("latin-1"))

        def failConnection(self):
            self._fail_connection()

        def onConnect(self, response):
            pass  # the suite's client prints a line for each case here

        def logRxFrame(self, frameHeader, payload):
            super().logRxFrame(frameHeader, [b"".join(payload).decode("latin-1")])

        def connectionLost(self, reason):
            fuzzing.WebSocketClientProtocol.connectionLost(self, reason)
            self.runCase.onConnectionLost(self.failedByMe)
            took = fuzzing.time.time() - self.caseStart if self.caseStart else 0.0
            case = self.runCase
            self.factory.write(
                {
                    "behavior": case.behavior,
                    "behaviorClose": case.behaviorClose,
                    "result": case.result,
                    "resultClose": " ".join(filter(None, [case.resultClose, self.wasNotCleanReason])),
                    "closeCode": self.remoteCloseCode,
                    "seconds": round(took, 3),
                    "description": self.Case.DESCRIPTION,
                    "expectation": self.Case.EXPECTATION,
                    "wirelog": [str(entry)[:200] for entry in self.wirelog[:40]],
                }
            )

    return Protocol


if __name__ == "__main__":
    main()
