"""`fairway.http.streaming`: the parts of synchronous and asynchronous iterators, one by one."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from fairway.http.streaming import iterate


def test_a_synchronous_iterator():
    assert list(iterate(StreamingHttpResponse(["a", "b"]))) == [b"a", b"b"]


def test_a_response_may_iterate_in_its_own_way():
    class Loud(StreamingHttpResponse):
        def __iter__(self):
            return (part.upper() for part in super().__iter__())

    assert list(iterate(Loud(["a"]))) == [b"A"]


def test_an_asynchronous_iterator_keeps_its_loop_and_runs_no_further_than_asked():
    made, loops = [], set()

    async def parts():
        for number in range(3):
            loops.add(asyncio.get_running_loop())
            made.append(number)
            yield str(number)
            await asyncio.sleep(0)

    stream = iterate(StreamingHttpResponse(parts()))
    assert made == []
    assert next(stream) == b"0"
    assert made == [0]
    assert list(stream) == [b"1", b"2"]
    assert len(loops) == 1


def test_closing_closes_an_asynchronous_iterator_on_its_loop():
    ended = []

    async def parts():
        loop = asyncio.get_running_loop()
        try:
            while True:
                yield "x"
        finally:
            ended.append(asyncio.get_running_loop() is loop)

    stream = iterate(StreamingHttpResponse(parts()))
    next(stream)
    stream.close()
    assert ended == [True]


def test_an_asynchronous_iterator_that_fails_to_close_leaves_no_thread():
    threads = []

    async def parts():
        try:
            threads.append(await sync_to_async(threading.current_thread)())
            yield "x"
        finally:
            raise LookupError("while closing")

    class Response(StreamingHttpResponse):
        def __aiter__(self):
            return parts()

    stream = iterate(Response(parts()))
    next(stream)
    with pytest.raises(LookupError):
        stream.close()
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_an_error_in_an_asynchronous_iterator_is_raised_here():
    async def parts():
        yield "x"
        raise LookupError("lost")

    stream = iterate(StreamingHttpResponse(parts()))
    next(stream)
    with pytest.raises(LookupError):
        next(stream)


def test_synchronous_code_of_an_asynchronous_iterator_has_one_thread():
    async def parts():
        for _ in range(3):
            yield await sync_to_async(lambda: str(threading.get_ident()))()

    assert len(set(iterate(StreamingHttpResponse(parts())))) == 1


def test_an_asynchronous_iterator_that_is_no_generator():
    class Twice:
        def __init__(self):
            self.left = 2

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return "x"

    assert list(iterate(StreamingHttpResponse(Twice()))) == [b"x", b"x"]
