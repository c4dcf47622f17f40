"""A small FastAPI backend that sends: `python examples/fastapi_app/main.py`, then open http://127.0.0.1:8000.

It needs `pip install 'smspop-async[fastapi]' uvicorn python-multipart`. Without SMSPOP_TOKEN it starts a sandbox and
texts nobody. Upload a file of contacts, watch the progress live, take the report.

Two workers serve it, and a send lives in the one that was asked to start it. What they share is a folder: each send
has a status file there, a journal, a lock, and at last a report. So it makes no difference which worker answers:

- Any worker tells the progress of any send, out of its status file, which its owner replaces several times a second.
- The key in the form makes the id of the send, and a send is entered into the folder exactly once, so a form that is
  submitted twice, to whichever worker, is one send.
- SIGTERM stops the sending at once. Campaigns under way get ten seconds to settle, and the rest stays in the journal.
- A worker that dies takes its lock with it. uvicorn starts a new one, and `resume=True` lets that go on from the
  journal. What may have been sent already is looked for, never sent again.
"""

import html
import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from string import Template
from typing import Annotated

import uvicorn
from anyio.from_thread import start_blocking_portal
from anyio.to_thread import run_sync
from fastapi import FastAPI, Form, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from smspop_async import ConfigurationError, ContactSourceError, RateLimit, plan_campaign
from smspop_async.integrations.fastapi import (
    SendsDep,
    add_exception_handlers,
    smspop_lifespan,
    smspop_router,
)
from smspop_async.sandbox import Sandbox

PAGES = Path(__file__).with_name("pages")
FOLDER = Path(os.environ.get("SENDS_FOLDER", "sends"))
CHUNK = 20  # small campaigns, so that there is something to see

app = FastAPI(lifespan=smspop_lifespan(grace=10, journal_dir=FOLDER, resume=True))
add_exception_handlers(app)
app.include_router(smspop_router())  # a real app gives it a dependency that knows its users


@app.get("/")
def form(error: str = "") -> HTMLResponse:
    """The form, with a key of its own."""
    page = Template((PAGES / "form.html").read_text(encoding="utf-8"))
    return HTMLResponse(page.substitute(key=secrets.token_urlsafe(), error=html.escape(error)))


@app.post("/")
async def start(
    *,
    sends: SendsDep,
    contacts: UploadFile,
    message: Annotated[str, Form()],
    sender_id: Annotated[str, Form()],
    key: Annotated[str, Form(min_length=16)],
    per_second: Annotated[float, Form(gt=0)] = 200,
) -> Response:
    """Keep the file, look it through, and start to send."""
    path = await run_sync(keep, contacts)
    try:
        plan = await run_sync(lambda: plan_campaign(path, message=message))
        send = await sends.start(
            path,
            message=message,
            sender_id=sender_id,
            name="Example",
            key=key,
            expected=plan.total,
            chunk_size=CHUNK,
            rate_limit=RateLimit(contacts_per_second=per_second),
        )
    except (ConfigurationError, ContactSourceError) as error:  # what the person can put right
        page = form(str(error))
        page.status_code = 422
        return page
    return RedirectResponse(f"/{send}", status_code=303)


def keep(upload: UploadFile) -> Path:
    """Put an upload where it stays as long as it is read. A real app deletes it some day: it holds numbers."""
    folder = FOLDER / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    suffix = Path(upload.filename or "").suffix.lower()
    path = folder / f"{secrets.token_hex(8)}{suffix if suffix in ('.csv', '.txt', '.xlsx') else '.unknown'}"
    with path.open("xb") as file:
        path.chmod(0o600)
        shutil.copyfileobj(upload.file, file)
    return path


@app.get("/{send_id}")
async def progress(send_id: str, sends: SendsDep) -> HTMLResponse:
    """The live page of a send; all it shows comes from the events."""
    await sends.status(send_id)  # 404 where there is none
    return HTMLResponse((PAGES / "progress.html").read_text(encoding="utf-8"))


def serve() -> None:
    """Serve it with two workers; in a sandbox where there is no token."""
    with ExitStack() as stack:
        if "SMSPOP_TOKEN" not in os.environ:
            # One sandbox for all workers: it runs in this process, which only looks after them.
            portal = stack.enter_context(start_blocking_portal())
            sandbox = stack.enter_context(portal.wrap_async_context_manager(Sandbox()))
            os.environ |= {"SMSPOP_TOKEN": sandbox.token, "SMSPOP_BASE_URL": sandbox.api_url}
            os.environ["SENDS_FOLDER"] = stack.enter_context(tempfile.TemporaryDirectory())
            print(
                f"Sandbox: nobody is texted. What would have been sent: {sandbox.inbox_url}_sandbox/messages"
            )
        uvicorn.run(
            "main:app",
            app_dir=str(Path(__file__).parent),
            port=int(os.environ.get("PORT", "8000")),
            workers=int(os.environ.get("WORKERS", "2")),
            timeout_graceful_shutdown=5,  # for listeners that are stuck; event streams end by themselves
        )


if __name__ == "__main__":
    serve()
