"""The outbox: events are written to the disk first and sent to MLflow by a thread, so that a search never waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Protocol

from filelock import Timeout

from spaces.errors import one_line
from tracking.writing.delivery import Refused
from tracking.writing.events import Event, next_batch, parse, started
from tracking.writing.outbox_file import Entry, OutboxFile

_logger = logging.getLogger(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0
_WINDOW = 500

# Events come in clusters, such as the end of one trial and the start of the next; sent together they take fewer
# requests.
_GATHERING = 0.5  # seconds


class Sender(Protocol):
    """Sends batches of events; `tracking.writing.delivery.Delivery` is the one for MLflow.

    `take_over` is called first, once no other outbox sends, with the trials whose runs an earlier one may have started.
    `send` raises `Refused` for events that can never be sent, and anything else for those that may be sent later.
    """

    def take_over(self, started: AbstractSet[str | None]) -> None: ...

    def send(self, events: Sequence[Event]) -> None: ...


class Outbox:
    """The outbox in the folder `home`; it first sends the events that an earlier one left there.

    Only one outbox of a folder sends at a time, also across processes; the others wait.
    """

    def __init__(self, home: Path, sender: Sender) -> None:
        self._file = OutboxFile(home)
        self._sender = sender
        self._changed = threading.Condition()
        self._closed = False
        self._hurried = False
        self._attempts = 0
        self._one_by_one = 0
        self._thread = threading.Thread(target=self._run, name="mlflow-outbox", daemon=True)
        self._thread.start()

    def append(self, *events: Event) -> None:
        """Write events to the disk and return; they are sent later.

        Raises:
            OSError: when the disk does not take them.
        """
        with self._changed:
            self._file.append(*(event.model_dump_json().encode() for event in events))
            self._changed.notify_all()

    def history(self) -> list[Event]:
        """Return every readable event that was ever appended here."""
        return [event for entry in self._file.entries() if (event := parse(entry.line))]

    def drain(self, timeout: float) -> int:
        """Wait until all events are sent, or none was for `timeout` seconds; return the number of those that are not.

        A slow receiver is waited for as long as it takes events: many may wait after an outage.
        """
        end, sent = time.monotonic() + timeout, self._file.offset
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            while self._file.waits and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
                if (offset := self._file.offset) > sent:
                    end, sent = time.monotonic() + timeout, offset
            self._hurried = False
            return self._file.unsent

    def close(self, timeout: float) -> int:
        """Drain, stop sending, and return the number of events that the next outbox of this folder will send."""
        self.drain(timeout)
        with self._changed:
            self._closed = True
            self._file.close()
            self._changed.notify_all()
        # A request under way ends by itself. Until then no other outbox sends, so no event is sent by two at once.
        self._thread.join(timeout=1.0)
        return self._file.unsent

    def _run(self) -> None:
        while not self._closed:
            try:
                with self._file.sending:
                    self._sender.take_over(started([entry.line for entry in self._file.entries()]))
                    self._send_until_closed()
            except Timeout:
                self._pause(_FIRST_DELAY)
            except OSError as error:
                _logger.warning("the outbox cannot be read, which is tried again: %s", one_line(error))
                self._pause(_LONGEST_DELAY)

    def _send_until_closed(self) -> None:
        gathered = 0
        while not self._closed:
            offset = self._file.offset
            if offset >= gathered:
                gathered = self._gathered()
            entries = self._file.entries(offset, limit=1 if self._one_by_one else _WINDOW)
            if entries:
                self._send(entries)

    def _gathered(self) -> int:
        """Wait for events, and a moment more for those that follow them; return the offset behind them."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._file.waits)
            self._changed.wait_for(lambda: self._closed or self._hurried, timeout=_GATHERING)
            return self._file.size

    def _send(self, entries: list[Entry]) -> None:
        """Send the first batch of the entries; drop an event that is refused, wait after any other failure."""
        events = next_batch([entry.line for entry in entries])
        try:
            if not events:
                raise Refused("not an event")
            self._sender.send(events)
        except Refused as refusal:
            if len(events) > 1:
                self._one_by_one = len(events)  # one of them is refused: find it, and send the others
            else:
                line = entries[0].line[:300].decode(errors="replace").strip()
                _logger.warning("MLflow refused an event, which is dropped (%s): %s", one_line(refusal), line)
                self._acknowledge(entries[0])
        except Exception as error:  # of MLflow or the network; the events are still on the disk
            self._attempts += 1
            if self._attempts == 1:
                _logger.warning("MLflow takes no events; they are kept and tried again: %s", one_line(error))
            self._pause(min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(self._attempts - 1, 8)))
        else:
            if self._attempts:
                _logger.info("MLflow takes events again")
            self._acknowledge(entries[len(events) - 1])

    def _acknowledge(self, entry: Entry) -> None:
        self._attempts = 0
        self._one_by_one = max(0, self._one_by_one - 1)
        with self._changed:
            self._file.acknowledge(entry.end)
            self._changed.notify_all()

    def _pause(self, delay: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._hurried, timeout=delay)
            if self._hurried:
                self._changed.wait_for(lambda: self._closed, timeout=min(delay, _FIRST_DELAY))
