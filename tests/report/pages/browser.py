"""A real browser for the tests of the pages: Debian's chromium, headless, spoken to over two pipes.

    with Browser() as browser:
        page = browser.open(path, dark=True, width=390)
        page.key("/")
        assert page.run("document.activeElement.type") == "search"
        assert page.requests == [path.as_uri()] and page.problems == []

The DevTools protocol needs no port and no package: `--remote-debugging-pipe` reads JSON that ends
in a zero byte from file 3 and answers on file 4.  https://chromedevtools.github.io/devtools-protocol
WebGL is drawn by SwiftShader on the CPU.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_S = 600.0  # machines that run many tests at once are slow; nothing is measured by it
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--disable-gpu-rasterization",
    "--disable-accelerated-2d-canvas",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--mute-audio",
    "--disable-dev-shm-usage",
)
# Named keys have codes; other keys are letters.  https://w3.org/TR/uievents-code
_KEY_CODES = {
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
    "Home": 36,
    "End": 35,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


class Browser:
    """One chromium process with an empty profile; a context manager."""

    def __init__(self) -> None:
        assert PROGRAM is not None, "take the fixture `browser`, which skips where there is none"
        self._profile = tempfile.mkdtemp(prefix="browser-")
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        arguments = [PROGRAM, *FLAGS, f"--user-data-dir={self._profile}", "--remote-debugging-pipe", "about:blank"]
        quiet = os.open(os.devnull, os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, quiet, n) for n in (0, 1, 2)]
        # Numbers 3 and 4 may be taken here by the other end: both move out of the way first.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_read, to_write)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, place) for fd, place in zip(ends, (3, 4))]
        self._process = os.posix_spawn(PROGRAM, arguments, dict(os.environ), file_actions=actions, setsid=True)
        for fd in (to_read, to_write, quiet, *ends):
            os.close(fd)
        self._buffer = bytearray()
        self._last = 0
        self._pages: dict[str, Page] = {}

    def open(
        self,
        path: Path,
        *,
        width: int = 1200,
        height: int = 900,
        dark: bool = False,
        scripts: bool = True,
        fragment: str = "",
        calm: bool = True,
    ) -> Page:
        """Load a file in a tab of its own; `calm` asks for reduced motion, so that pictures hold still."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.resize(width, height)
        page.prefer(dark=dark, calm=calm)
        page.send("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        page.go(path.as_uri() + fragment)
        return page

    def send(self, method: str, values: dict[str, Any] | None = None, session: str = "") -> dict[str, Any]:
        """One command and its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": values or {}}
        text = json.dumps({**message, "sessionId": session} if session else message)
        _write_all(self._to, text.encode() + b"\0")
        answer = self.until(lambda found: found.get("id") == message["id"], f"an answer to {method}")
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def until(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Read messages, handing events to their pages, until the wanted one comes."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            message = self._read(end - time.monotonic())
            if message is None:
                continue
            page = self._pages.get(message.get("sessionId", ""))
            if page is not None and "method" in message:
                page.hear(message["method"], message["params"])
            if wanted(message):
                return message
        raise AssertionError(f"the browser did not send {what} within {PATIENCE_S:.0f} s")

    def _read(self, patience_s: float) -> dict[str, Any] | None:
        """The next message; None where none came in time."""
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], max(0.0, patience_s))[0]:
                return None
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser has gone"
            self._buffer += piece
        text, _, rest = bytes(self._buffer).partition(b"\0")
        self._buffer = bytearray(rest)
        return dict(json.loads(text))

    def open_pages(self) -> set[str]:
        """The tabs that are open, by their sessions."""
        return set(self._pages)

    def close_pages(self, keep: Collection[str] = ()) -> None:
        """Close every tab but some: each is a process, and one that is still drawing takes time from the next test."""
        for session in self.open_pages() - set(keep):
            self.send("Target.closeTarget", {"targetId": self._pages.pop(session).target})

    def close(self) -> None:
        """End the browser and everything that it started."""
        for fd in (self._to, self._from):
            os.close(fd)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Page:
    """One tab; remembers what it asked for (`requests`) and everything that went wrong (`problems`)."""

    def __init__(self, browser: Browser, session: str, target: str):
        self._browser, self._session, self.target = browser, session, target
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._loaded = 0

    def send(self, method: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._browser.send(method, values, self._session)

    def hear(self, method: str, values: dict[str, Any]) -> None:
        """Take note of one event."""
        if method == "Network.requestWillBeSent" and not values["request"]["url"].startswith("data:"):
            self.requests.append(values["request"]["url"].split("#")[0])
        elif method == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(part.get("value", part.get("description"))) for part in values["args"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.problems.append(values["entry"]["text"])
        elif method == "Page.loadEventFired":
            self._loaded += 1

    def go(self, address: str) -> None:
        """Load an address and wait for its load event."""
        before = self._loaded
        self.send("Page.navigate", {"url": address})
        if self._loaded == before:
            self._browser.until(lambda _: self._loaded > before, f"the load event of {address}")

    def run(self, code: str) -> Any:
        """Value of a JavaScript expression, awaited; what it throws fails the test."""
        done = self.send("Runtime.evaluate", {"expression": code, "awaitPromise": True, "returnByValue": True})
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description") or details["text"])
        return done["result"].get("value")

    def wait(self, code: str) -> Any:
        """Value of an expression once it is true."""
        return self.run(f"""new Promise((done, fail) => {{
            const end = performance.now() + {PATIENCE_S * 500};
            const look = () => {{ const value = ({code}); if (value) done(value);
                else if (performance.now() > end) fail(new Error({json.dumps("never true: " + code)}));
                else setTimeout(look, 20); }};
            look(); }})""")

    def key(self, *names: str) -> None:
        """Press keys: a letter or sign, or a name such as Enter, Escape, ArrowDown."""
        for name in names:
            code = {"windowsVirtualKeyCode": _KEY_CODES[name]} if name in _KEY_CODES else {}
            text = {"text": "\r" if name == "Enter" else name} if len(name) == 1 or name == "Enter" else {}
            self.send("Input.dispatchKeyEvent", {"type": "keyDown", "key": name, "code": name, **code, **text})
            self.send("Input.dispatchKeyEvent", {"type": "keyUp", "key": name, "code": name, **code})

    def type(self, text: str) -> None:
        """Enter text where the focus is."""
        self.send("Input.insertText", {"text": text})

    def choose(self, selector: str, file: Path) -> None:
        """Give a file to a file input, as its dialog would."""
        found = self.send("Runtime.evaluate", {"expression": f"document.querySelector({json.dumps(selector)})"})
        self.send("DOM.setFileInputFiles", {"files": [str(file)], "objectId": found["result"]["objectId"]})

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one point of the window, move it in steps, let it go."""
        for kind, share in (
            ("mousePressed", 0.0),
            *(("mouseMoved", s / 4) for s in range(1, 5)),
            ("mouseReleased", 1.0),
        ):
            x, y = (a + (b - a) * share for a, b in zip(start, end))
            self.send(
                "Input.dispatchMouseEvent",
                {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1},
            )

    def resize(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, *, dark: bool, calm: bool = True) -> None:
        """What the reader's system asks for."""
        self.send(
            "Emulation.setEmulatedMedia",
            {
                "features": [
                    {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                    {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"},
                ]
            },
        )

    def picture(self, file: Path | None = None, *, whole: bool = False) -> npt.NDArray[np.uint8]:
        """(H, W, 3) what is seen, or the `whole` page; also written to `file`."""
        data = self.send("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})["data"]
        path = file or Path(tempfile.mkstemp(suffix=".png")[1])
        path.write_bytes(base64.b64decode(data))
        with Image.open(path) as seen:
            pixels = np.asarray(seen.convert("RGB"))
        if file is None:
            path.unlink()
        return pixels


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
