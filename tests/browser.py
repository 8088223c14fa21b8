"""A headless Chromium for tests, spoken to by its DevTools protocol through a pair of pipes: no driver, no port, no network."""
import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--remote-debugging-pipe", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--hide-scrollbars",
         "--host-resolver-rules=MAP * ~NOTFOUND")
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
NO_WEBGL = ("--disable-gpu", "--disable-3d-apis")
PATIENCE = 120.0        # seconds; software rendering on a busy machine is slow


def find_chromium() -> str | None:
    """The program, named by SYNERGYNET_CHROMIUM or found on the path."""
    return os.environ.get("SYNERGYNET_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One window. `problems` gathers what a developer would see in red: errors of the console, exceptions, failed requests."""

    def __init__(self, program: str, profile: pathlib.Path, webgl: bool = True):
        down, up = os.pipe(), os.pipe()     # of commands, of answers
        inner = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (down[0], up[1])]

        def as_three_and_four() -> None:
            for end, number in zip(inner, (3, 4)):
                os.dup2(end, number)

        command = [program, *FLAGS, *(SOFTWARE_WEBGL if webgl else NO_WEBGL), f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, close_fds=False, preexec_fn=as_three_and_four, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        for end in (*inner, down[0], up[1]):
            os.close(end)
        self._commands, self._answers = down[1], up[0]
        self._received, self._number, self._session = b"", 0, None
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method: str, **parameters) -> dict:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def open(self, address: str, width: int = 1000, height: int = 640) -> None:
        """Go to a page and wait until it has loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=address)
        self.wait_for(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def run(self, expression: str):
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self._holds(expression):
            assert time.monotonic() < end, f"{expression} did not come true; {self.problems}"
            time.sleep(0.05)

    def _holds(self, expression: str) -> bool:
        """Whether an expression is true; it is not while the page that was to tell gives way to another."""
        try:
            return bool(self.run(expression))
        except AssertionError as error:
            if "navigated" not in str(error):
                raise
            return False

    def click(self, selector: str) -> None:
        """Click on the middle of an element, as a mouse does."""
        x, y = self.run(f"(() => {{ const element = document.querySelector({json.dumps(selector)}); "
                        "element.scrollIntoView({block: 'center'}); const box = element.getBoundingClientRect(); "
                        "return [box.x + box.width / 2, box.y + box.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key that types nothing, such as ArrowDown."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def picture(self, path: pathlib.Path) -> None:
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _next(self) -> dict:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE)
            part = os.read(self._answers, 1 << 20) if ready else b""
            assert part, f"Chromium has ended or does not answer; {self.problems}"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict) -> None:
        values = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(values["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if values["type"] in ("error", "warning", "assert"):
                self.problems.append(json.dumps(values["args"])[:500])
            case "Log.entryAdded" if values["entry"]["level"] in ("error", "warning"):
                self.problems.append(json.dumps(values["entry"])[:500])
            case "Network.requestWillBeSent":
                self.requests.append(values["request"]["url"])
            case "Network.loadingFailed":
                self.problems.append(json.dumps(values)[:500])
