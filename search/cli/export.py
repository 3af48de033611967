"""`export`: an adapter written here, or by a service and unpacked here."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from search.client import Client
from search.documents.service import ExportRequest, Format
from search.exporting import Choice, check_request
from spaces.errors import RequestError, WorkError

POLL_SECONDS = 1.0


def export_from(
    server: str,
    name: str,
    out: Path,
    choice: Choice,
    form: Format,
    rank: float | None,
    verification_rows: bool = True,
) -> None:
    """Have a service write the chosen adapter, and unpack it at `out`.

    Raises:
        RequestError: when the request is wrong.
        WorkError: when the service fails, or the export does not reproduce the trial's logits.
    """
    check_request(choice, form, rank)
    if out.exists():
        raise RequestError(f"--out {out}: exists; allowed: a new folder")
    wanted = ExportRequest(
        trial=choice.trial,
        max_parameters=choice.max_parameters,
        choice="knee" if choice.knee else "best",
        format=form,
        rank=rank,
        verification_rows=verification_rows,
    )
    client = Client(server)
    status = client.export(name, wanted)
    while status.state in ("queued", "running"):
        time.sleep(POLL_SECONDS)
        status = client.exported(name, status.id)
    if status.state == "failed":
        raise WorkError(f"export {status.id} of {name}: {status.message}")
    _unpack(client, name, status.id, out)
    print(f"exported trial {status.trial} of {name} to {out}, verified by the service")


def _unpack(client: Client, name: str, identity: str, out: Path) -> None:
    """Download a finished export, and move its one folder to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.zip"
        client.download(name, identity, file)
        shutil.unpack_archive(file, folder)
        (written,) = (one for one in Path(folder).iterdir() if one.is_dir())
        shutil.move(written, out)
