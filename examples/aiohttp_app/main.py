"""A small aiohttp.web app that sends: `python examples/aiohttp_app/main.py`, then open http://127.0.0.1:8080.

It needs `pip install 'smspop-async[aiohttp]'`. Without SMSPOP_TOKEN it starts a sandbox and texts nobody. Ctrl-C and
SIGTERM stop the sending at once; what did not go out is in the journal, and goes out when the app starts again.
"""

import os
from pathlib import Path

from aiohttp import web

from smspop_async.integrations.aiohttp_web import SMSPOP, setup_smspop, smspop_routes

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Send a message</title>
<form>
  <p><textarea name="contacts" rows="6" cols="40">0770 000 001\n0770 000 002</textarea>
  <p><input name="message" value="Hello from the example!"> <input name="sender_id" value="DEMO"> <button>Send</button>
</form>
<pre></pre>
<script>
  document.forms[0].onsubmit = async (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.target));
    const contacts = form.contacts.split("\\n").filter((line) => line.trim());
    const show = (text) => { document.querySelector("pre").textContent = text; };
    const reply = await fetch("/sends", {
      method: "POST",
      headers: { "Idempotency-Key": crypto.randomUUID() },
      body: JSON.stringify({ ...form, contacts }),
    });
    if (!reply.ok) return show((await reply.json()).detail);
    const events = new EventSource(reply.headers.get("Location") + "/events");
    events.addEventListener("progress", (event) => show(event.data));
    events.addEventListener("end", (event) => { show(event.data); events.close(); });
  };
</script>
"""


async def page(_: web.Request) -> web.Response:
    """Show the form."""
    return web.Response(text=PAGE, content_type="text/html")


async def welcome(request: web.Request) -> web.Response:
    """Text one person, and wait for it: what goes wrong is answered as a problem that says whether it was sent."""
    result = await request.config_dict[SMSPOP].campaigns.create(
        name="Welcome", message="Welcome!", sender_id="DEMO", contacts=[request.match_info["phone"]]
    )
    return web.json_response({"status": result.contacts[0].status})


def make_app() -> web.Application:
    """Put the app together."""
    app = web.Application()
    in_sandbox = "SMSPOP_TOKEN" not in os.environ
    folder = None if in_sandbox else Path(os.environ.get("SENDS_FOLDER", "sends"))
    setup_smspop(app, sandbox=in_sandbox, journal_dir=folder, resume=True)
    # A real app has a middleware before these that knows its users.
    app.add_routes([web.get("/", page), web.post("/welcome/{phone}", welcome), *smspop_routes()])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
