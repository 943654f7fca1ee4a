"""Who hears what: each job's audience, and the subscribers, who hear everything.

Keeps addresses; sends nothing.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from server.osc.session import Address

MAX_SUBSCRIBERS = 64


class Listeners:
    """Safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: OrderedDict[Address, Address] = OrderedDict()  # target → who asked
        self._audience: dict[str, list[Address]] = {}  # job → who is told of it beside the subscribers
        self._tags: dict[
            str, tuple[Address, str]
        ] = {}  # job that is not accepted yet → who gave it which tag

    def subscribe(self, target: Address, sender: Address) -> None:
        """From now on `target` hears everything, because `sender` asked for it."""
        with self._lock:
            self._subscribers.pop(target, None)
            self._subscribers[target] = sender
            if len(self._subscribers) > MAX_SUBSCRIBERS:
                self._subscribers.popitem(last=False)

    def unsubscribe(self, target: Address, sender: Address, named: bool) -> None:
        """Ends that. Without a `named` port, what the sender's host asked for ends as well where `sender` has
        no subscription: a program like oscsend has another port each time."""
        with self._lock:
            if self._subscribers.pop(target, None) is None and not named:
                for other, asked in list(self._subscribers.items()):
                    if other[0] == sender[0] and asked != other:
                        del self._subscribers[other]

    def attend(self, job: str, target: Address, tag: str = "") -> None:
        """From now on this address is told what happens to the job; of its acceptance with the tag."""
        with self._lock:
            audience = self._audience.setdefault(job, [])
            if target not in audience:
                audience.append(target)
            if tag:
                self._tags[job] = (target, tag)

    def forget(self, job: str) -> None:
        """The job was refused."""
        with self._lock:
            self._audience.pop(job, None)
            self._tags.pop(job, None)

    def of_job(self, job: str, last: bool = False) -> list[Address]:
        """Everybody who is told of the job; `last`: it has ended, and is told of no more."""
        with self._lock:
            audience = self._audience.pop(job, []) if last else self._audience.get(job, [])
            return self._with_subscribers(audience)

    def of_acceptance(self, job: str) -> tuple[str, list[Address], list[Address]]:
        """The tag that was given with the job, who is told of it with the tag, and who without."""
        with self._lock:
            everyone = self._with_subscribers(self._audience.get(job, []))
            sender, tag = self._tags.pop(job, (None, ""))
            own = self._own(sender) if sender else []
        return tag, own, [target for target in everyone if target not in own]

    def of_answer(self, sender: Address) -> tuple[list[Address], list[Address]]:
        """The sender with its own subscriptions, and everybody else who hears an answer to it."""
        with self._lock:
            own = self._own(sender)
            return own, [target for target in self._with_subscribers([]) if target not in own]

    def subscribers(self) -> list[Address]:
        """Those who hear everything."""
        with self._lock:
            return list(self._subscribers)

    def _own(self, sender: Address) -> list[Address]:
        asked = [target for target, asked in self._subscribers.items() if asked == sender]
        return list(dict.fromkeys([sender, *asked]))

    def _with_subscribers(self, targets: Sequence[Address]) -> list[Address]:
        return list(dict.fromkeys([*targets, *self._subscribers]))
