"""The pages of the FastAPI example in a real browser: the form, the live progress, the end."""

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from appserver import program
from smspop_async.sandbox import Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
INSTALL = (("apt-get", "update"), ("apt-get", "install", "-y", "--no-install-recommends", "chromium"))
NO_QUESTIONS = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


def found() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium: the one that is there, or Debian's where it can be installed."""
    if found() is None and shutil.which("apt-get") and os.geteuid() == 0:
        for command in INSTALL:
            done = subprocess.run(command, capture_output=True, check=False, timeout=600, env=NO_QUESTIONS)
            if done.returncode:
                pytest.skip(f"no Chromium, and {' '.join(command)} ended with {done.returncode}")
    path = found()
    if path is None:
        pytest.skip(f"no Chromium here, and no right to install one; looked for {', '.join(NAMES)}")
    return path


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--headless=new"]
        )
        yield browser
        await browser.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def address(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[str]:
    """Where the example is served."""
    environment = {
        "SMSPOP_TOKEN": sandbox.token,
        "SMSPOP_BASE_URL": sandbox.api_url,
        "SENDS_FOLDER": str(tmp_path / "sends"),
    }
    async with program(
        "examples/fastapi_app/main.py", ready="startup complete", times=2, **environment
    ) as child:
        yield child.address


async def upload(page: Page, address: str, path: Path, *, per_second: int) -> None:
    await page.goto(address)
    await page.get_by_label("Contacts (.csv").set_input_files(path)
    await page.get_by_label("Message").fill("Hello from the browser!")
    await page.get_by_label("Contacts a second").fill(str(per_second))
    await page.get_by_role("button", name="Send").click()


async def test_from_the_form_to_the_end(
    browser: Browser, address: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A person uploads a file, sees it go out, and takes the report; the page says what the ledger says."""
    (tmp_path / "contacts.csv").write_text(
        "phone_number\n" + "".join(f"26377000{number:04}\n" for number in range(300)) + "nonsense\n"
    )
    page = await browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await upload(page, address, tmp_path / "contacts.csv", per_second=150)
    state = page.locator("#state")
    await expect(state).to_have_text("running")
    values = []
    with anyio.fail_after(30):
        while await state.text_content() != "finished":
            values.append(await page.locator("#bar").evaluate("bar => bar.value"))
            await page.wait_for_timeout(100)
    assert values == sorted(values)
    assert len(set(values)) > 3, "it moved"
    assert await page.locator("#bar").evaluate("bar => [bar.value, bar.max]") == [301, 301]
    await expect(page.locator("#counts")).to_contain_text(re.compile(r"sent\s*300"))
    await expect(page.locator("#counts")).to_contain_text(re.compile(r"invalid\s*1"))
    await expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Report").click()
    path = await (await download.value).path()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 302
    assert len({message.to for message in sandbox.messages()}) == len(sandbox.messages()) == 300
    assert complaints == []


async def test_stop_and_go_on(browser: Browser, address: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The buttons do what they say, whichever worker they reach."""
    (tmp_path / "contacts.txt").write_text("".join(f"26377000{number:04}\n" for number in range(200)))
    page = await browser.new_page()
    await upload(page, address, tmp_path / "contacts.txt", per_second=50)
    await sandbox.wait_for(count=40)
    await page.get_by_role("button", name="Stop").click()
    state = page.locator("#state")
    await expect(state).to_have_text("stopped")
    assert len(sandbox.messages()) < 200
    await page.get_by_role("button", name="Go on").click()
    await expect(state).to_have_text("finished", timeout=20_000)
    assert sorted(message.to for message in sandbox.messages()) == [
        f"26377000{number:04}" for number in range(200)
    ]


async def test_a_file_that_cannot_be_read(browser: Browser, address: str, tmp_path: Path) -> None:
    """The reason stands on the page, as text."""
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    page = await browser.new_page()
    await page.goto(address)
    await expect(page.get_by_role("alert")).to_be_hidden()
    await upload(page, address, tmp_path / "picture.png", per_second=50)
    await expect(page.get_by_role("alert")).to_contain_text("Cannot read")
