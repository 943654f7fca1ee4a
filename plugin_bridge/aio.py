"""`AsyncBridge`: the same daemon, the same names as `Bridge`, for asyncio.

Sends the same values from `calls`; differs from `client` only in who waits.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, TypeVar, Unpack

import grpc

from acestep.console.command import expanded
from plugin_bridge import calls, errors, settings, words
from plugin_bridge.client import Sending
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc

T = TypeVar("T")


class AsyncEvents(AsyncIterator[words.Event]):
    """A running job's events, as they come. Cancelling or dropping it ends the call, and so the job."""

    def __init__(self, call: Any, address: str) -> None:
        self._call, self._address = call, address
        self._messages = aiter(call)
        self.job = ""
        self._clips: list[words.Clip] = []

    async def __anext__(self) -> words.Event:
        try:
            async for message in self._messages:
                self.job = message.job or self.job
                event = words.read_event(message)
                if isinstance(event, words.ClipReady):
                    self._clips.append(event.clip)
                if event is not None:
                    return event
        except grpc.RpcError as error:
            raise errors.of_rpc(error, self._address) from error
        except asyncio.CancelledError:
            if self._call.cancelled() and not _being_cancelled():
                raise errors.Cancelled("the call was cancelled here", job=self.job) from None
            self._call.cancel()
            raise
        raise StopAsyncIteration

    async def clips(self) -> list[words.Clip]:
        """Waits for the end and returns all clips. Raises the job's typed error."""
        async for event in self:
            if isinstance(event, words.Failed):
                raise event.error
        return self._clips

    def cancel(self) -> None:
        """Ends the call: the iteration raises Cancelled, the job ends (unless detached)."""
        self._call.cancel()


class AsyncBridge:
    """A connection to one daemon, for one event loop. Arguments and errors as in `Bridge`."""

    def __init__(
        self,
        address: str = "",
        *,
        token: str = "",
        certificate: str | Path = "",
        own_files: bool = True,
        home: Path | None = None,
    ) -> None:
        self.target = calls.Target.find(address, token, certificate, own_files, home)
        secure = self.target.credentials
        self._channel = (
            grpc.aio.secure_channel(self.target.address, secure, options=self.target.options)
            if secure
            else grpc.aio.insecure_channel(self.target.address, options=self.target.options)
        )
        self._uploads = self.target.channel()
        self._stub: Any = acestep_pb2_grpc.DaemonStub(self._channel)  # the stubs are typed for sync only
        self._checked = False

    async def __aenter__(self) -> "AsyncBridge":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and with it the running calls."""
        self._uploads.close()
        await self._channel.close()

    async def generate(self, prompt: str, **options: Unpack[settings.Settings]) -> AsyncEvents:
        """Starts a job: `async for event in await bridge.generate(…)`, or `await (await …).clips()`."""
        request = settings.wire_request(prompt, options)
        await self._check_wire()
        if not self.target.is_local:
            sent = {path: (await self.upload(path)).path for path in settings.local_files(options)}
            request = settings.wire_request(prompt, settings.with_uploads(options, sent))
        call = self._stub.Generate(request, metadata=self.target.generate_metadata)
        return AsyncEvents(call, self.target.address)

    async def watch(self, job: str = "") -> AsyncEvents:
        """A job's events from its beginning; without a job, everybody's from now on."""
        await self._check_wire()
        call = (
            self._stub.WatchJob(pb.WatchJobRequest(job=job), metadata=self.target.metadata)
            if job
            else self._stub.WatchAll(pb.WatchAllRequest(), metadata=self.target.metadata)
        )
        return AsyncEvents(call, self.target.address)

    async def status(self) -> words.Status:
        return await self._send(calls.status())

    async def jobs(self, limit: int = 100) -> list[words.ListedJob]:
        return await self._do(calls.jobs(limit))

    async def cancel(self, job: str) -> words.ListedJob:
        return await self._do(calls.cancel(job))

    async def clips(self, words: str = "", **filters: Any) -> list[words.Clip]:
        return await self._do(calls.clips(words, filters))

    async def star(self, name: str, starred: bool = True) -> words.Clip:
        return await self._do(calls.star(name, starred))

    async def rename(self, name: str, new_name: str) -> words.Clip:
        return await self._do(calls.rename(name, new_name))

    async def tag(self, name: str, tags: Iterable[str]) -> words.Clip:
        return await self._do(calls.tag(name, tags))

    async def trash(self, name: str) -> words.Clip:
        return await self._do(calls.trash(name))

    async def restore(self, name: str) -> words.Clip:
        return await self._do(calls.restore(name))

    async def cascades(self) -> list[words.Cascade]:
        return await self._do(calls.cascades())

    async def load_cascade(self, name: str) -> words.Cascade:
        return await self._do(calls.load_cascade(name))

    async def unload_cascade(self, name: str) -> words.Cascade:
        return await self._do(calls.unload_cascade(name))

    async def adapters(self) -> list[words.Adapter]:
        return await self._do(calls.adapters())

    async def load_adapter(self, name: str) -> words.Adapter:
        return await self._do(calls.load_adapter(name))

    async def unload_adapter(self, name: str) -> words.Adapter:
        return await self._do(calls.unload_adapter(name))

    async def upload(self, path: str | os.PathLike[str]) -> words.Upload:
        await self._check_wire()
        # grpc.aio forgets why it was refused where it was still writing; the synchronous side does not.
        stub = acestep_pb2_grpc.DaemonStub(self._uploads)
        sending = await asyncio.to_thread(Sending, stub, self.target, expanded(path))
        try:
            return await asyncio.to_thread(sending.result)
        finally:
            sending.cancel()

    async def download(self, name: str, folder: str | os.PathLike[str] = ".") -> Path:
        await self._check_wire()
        chunks = self._stub.Download(pb.DownloadRequest(name=name), metadata=self.target.metadata)
        try:
            first = await chunks.read()
            with calls.Download(name, folder) as file:
                while first is not grpc.aio.EOF:
                    await asyncio.to_thread(file.write, first)
                    first = await chunks.read()
        except grpc.RpcError as error:
            raise errors.of_rpc(error, self.target.address) from error
        finally:
            chunks.cancel()
        return file.path

    async def _do(self, call: calls.Call[T]) -> T:
        await self._check_wire()
        return await self._send(call)

    async def _send(self, call: calls.Call[T]) -> T:
        method = getattr(self._stub, call.method)
        try:
            return call.read(
                await method(call.request, timeout=call.timeout_s, metadata=self.target.metadata)
            )
        except grpc.RpcError as error:
            raise errors.of_rpc(error, self.target.address) from error

    async def _check_wire(self) -> None:
        if not self._checked:
            calls.check_wire(await self.status(), self.target.address)
            self._checked = True


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
