"""The contract between a worker and an application."""

from fairway.application import ConsumerCall, DjangoApplication
from fairway.worker.contract import Application, Call


def test_django_keeps_it():
    for contract, kept_by in ((Application, DjangoApplication), (Call, ConsumerCall)):
        names = {name for name in vars(contract) if not name.startswith("_")}
        assert names
        for name in names - {"channels"}:  # an attribute of the instance
            assert hasattr(kept_by, name)
