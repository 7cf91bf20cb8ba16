"""JupyterLab in a browser without a window, as a person uses it: run the quickstart and look at it.

`jupyter/in_browser.rs` makes the environment and runs this. By hand, with playwright and jupyterlab there and a
`woolshed` whose kernel Jupyter finds (JUPYTER_PATH):

    python lab_in_browser.py NOTEBOOK PICTURES [CHROMIUM]

Pictures of every stage go to the folder PICTURES. Every wait has a limit; the first that fails ends the program
with what was waited for.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

TOKEN = "a-token-of-the-tests"
SECOND = 1000
# The quickstart trains for real: a minute on a quiet machine, several on a busy one.
RUN = 400 * SECOND
STEP = 90 * SECOND


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Lab:
    """A JupyterLab on a folder of its own."""

    def __init__(self, folder):
        self.port = free_port()
        self.log = open(folder / "lab.log", "w")
        config = folder / "etc"
        page = config / "labconfig" / "page_config.json"
        page.parent.mkdir(parents=True)
        page.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')
        environment = dict(
            os.environ,
            JUPYTER_TOKEN=TOKEN,
            JUPYTER_CONFIG_DIR=str(config),
            JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
            JUPYTERLAB_SETTINGS_DIR=str(folder / "settings"),
            JUPYTERLAB_WORKSPACES_DIR=str(folder / "workspaces"),
            WOOLSHED_HISTORY="",
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", str(folder / "work"), "--no-browser", "--allow-root",
             f"--ServerApp.port={self.port}", "--ServerApp.ip=127.0.0.1", "--LabApp.news_url=None",
             "--expose-app-in-browser"],
            env=environment, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}?token={TOKEN}"

    def wait(self):
        for _ in range(600):
            assert self.process.poll() is None, "JupyterLab ended"
            try:
                return urllib.request.urlopen(self.url("api/status")).read()
            except OSError:
                time.sleep(0.1)
        raise AssertionError("JupyterLab does not answer")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class Notebook:
    """The notebook on the page."""

    def __init__(self, page, pictures):
        self.page, self.pictures, self.taken = page, pictures, 0

    def picture(self, name):
        self.taken += 1
        self.page.screenshot(path=self.pictures / f"{self.taken:02}-{name}.png")
        print(f"{self.taken:02} {name}", flush=True)

    def command(self, name, wait=True):
        """Runs a command of JupyterLab, as its menus do; one that asks something is not waited for."""
        call = "name => window.jupyterapp.commands.execute(name)"
        self.page.evaluate(call if wait else "name => { window.jupyterapp.commands.execute(name); }", name)

    def cells(self):
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    def idle(self, limit=STEP):
        """Waits until no cell runs or waits, and the kernel is idle."""
        self.page.wait_for_function(
            """() => ![...document.querySelectorAll('.jp-Notebook .jp-InputArea-prompt')]
                   .some(prompt => prompt.textContent.includes('*'))
                 && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'""",
            timeout=limit)

    def panel(self, words):
        """Waits for a panel at work, and shows its cell. It is drawn anew all the time: one call does both."""
        self.page.wait_for_function("""words => {
            const outputs = [...document.querySelectorAll('.jp-CodeCell .jp-OutputArea-output')];
            const panel = outputs.find(output => new RegExp(words).test(output.innerText));
            panel?.closest('.jp-CodeCell').scrollIntoView();
            return panel !== undefined;
        }""", arg=words, timeout=STEP)

    def last(self):
        """A new cell at the end, with the cursor in it."""
        cell = self.cells().last
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        self.page.keyboard.press("Enter")
        return self.cells().last

    def text(self, selector=".jp-Notebook"):
        return self.page.locator(selector).first.inner_text()


def check(what, holds):
    assert holds, what
    print(f"   {what}", flush=True)


def visit(page, lab, notebook_name, pictures):
    page.goto(lab.url(f"lab/tree/{notebook_name}"))
    page.wait_for_selector(".jp-Notebook .cm-content:visible", timeout=STEP)
    page.wait_for_selector(".jp-NotebookPanel .jp-Spinner", state="detached", timeout=STEP)
    notebook = Notebook(page, pictures)
    page.get_by_text("Woolshed (Rhai) | Idle").wait_for(timeout=STEP)
    # The side bar goes: the pictures are of the notebook.
    notebook.command("application:toggle-left-area")
    notebook.picture("opened")
    page.wait_for_selector(".jp-CodeCell .cm-content[data-language='rhai']", timeout=STEP)
    page.wait_for_function(
        """() => [...document.querySelectorAll('.jp-CodeCell .cm-line span')].some(
             span => span.textContent === 'let' && getComputedStyle(span).fontWeight === '700')""",
        timeout=STEP)
    notebook.picture("colours")
    check("cells have the colours of Rhai", True)

    notebook.command("notebook:clear-all-cell-outputs")
    notebook.command("notebook:run-all-cells", wait=False)
    notebook.panel("prune \\d+/\\d+ steps")
    notebook.picture("live-panel")
    check("a step shows a live panel", True)
    notebook.idle(RUN)
    left = page.evaluate("""() => [...document.querySelectorAll('.jp-OutputArea-output')]
        .filter(output => /\\d (s|min) left/.test(output.innerText)).length""")
    check("no panel is left at work when all is done", left == 0)
    errors = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'] .ansi-red-fg")
    check("no cell failed", errors.count() == 0)
    chart = page.locator(".jp-RenderedSVG, .jp-OutputArea-output svg, .jp-OutputArea-output img").first
    chart.scroll_into_view_if_needed()
    notebook.picture("chart")
    check("the charts are there", chart.is_visible())
    page.locator(".jp-Notebook table").last.scroll_into_view_if_needed()
    notebook.picture("last-table")

    cell = notebook.last()
    page.keyboard.type("run.rew")
    page.keyboard.press("Tab")
    page.wait_for_selector(".jp-Completer .jp-Completer-item", timeout=STEP)
    notebook.picture("completion")
    check("the list of completions names rewind", "rewind" in page.locator(".jp-Completer").inner_text())
    page.keyboard.press("Enter")
    check("Tab completes a method of a run", "run.rewind" in cell.locator(".cm-content").inner_text())

    page.keyboard.press("Control+a")
    page.keyboard.type("prune")
    page.keyboard.press("Shift+Tab")
    page.wait_for_selector(".jp-Tooltip", timeout=STEP)
    notebook.picture("help")
    check("Shift-Tab shows help", "steps" in page.locator(".jp-Tooltip").inner_text())
    page.keyboard.press("Escape")

    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type("let long = recover(model, domains, #{steps: 100000, batch: 8, eval_every: 100000}); "
                       "long.step(100000)")
    page.keyboard.press("Control+Enter")
    notebook.panel("/100.?000 steps")
    notebook.picture("long-step")
    begin = time.monotonic()
    page.keyboard.press("Escape")
    notebook.command("notebook:interrupt-kernel")
    notebook.idle()
    took = time.monotonic() - begin
    notebook.picture("interrupted")
    said = cell.inner_text()
    check("an interrupt says where it stopped", "stopped" in said)
    print(f"   from the command to idle {took:.1f} s", flush=True)
    notebook.last()
    page.keyboard.type("long.status().step > 0")
    page.keyboard.press("Control+Enter")
    notebook.idle()
    said = notebook.cells().last.locator(".jp-OutputArea").inner_text()
    check("the run is there after it", "true" in said)

    page.keyboard.press("Escape")
    notebook.command("notebook:restart-kernel", wait=False)
    page.locator(".jp-Dialog button.jp-mod-accept").click(timeout=STEP)
    notebook.idle()
    notebook.last()
    page.keyboard.type("long.status()")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => [...document.querySelectorAll('.jp-CodeCell')].pop()"
                           ".innerText.includes('there is no variable')", timeout=STEP)
    notebook.cells().last.scroll_into_view_if_needed()
    notebook.picture("restarted")
    check("a restart forgets variables and answers", True)


def main():
    lesson, pictures = Path(sys.argv[1]), Path(sys.argv[2])
    chromium = sys.argv[3] if len(sys.argv) > 3 else shutil.which("chromium")
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "work").mkdir()
        shutil.copy(lesson, folder / "work")
        lab = Lab(folder)
        try:
            lab.wait()
            with sync_playwright() as player:
                browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1200, "height": 900})
                try:
                    visit(page, lab, lesson.name, pictures)
                except BaseException:
                    page.screenshot(path=pictures / "failed.png")
                    shutil.copy(folder / "lab.log", pictures / "lab.log")
                    raise
                finally:
                    browser.close()
        finally:
            lab.stop()
    print("all is well", flush=True)


if __name__ == "__main__":
    main()
