"""Showing what a step tells: on the terminal, in the run's log, and on its page in the UI."""

import base64
import io
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import PrefectException
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from llm.step import Reporter
from llm.words import duration

UI_SECONDS = 10.0
CURVE_SECONDS = 20.0
CURVE_POINTS = 2_000  # kept of a curve: more than its picture is wide
LINE_SECONDS = 10.0


class Terminal:
    """Progress of the steps that run now: bars on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        if console.is_terminal:
            self.bars.start()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.bars.stop()

    def line(self, text: str) -> None:
        """Print one line above the bars."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


terminal: Terminal | None = None
"""Set by the command line; None in a worker, whose output nobody reads as it grows."""


class StepReporter(Reporter):
    """Tells the terminal and the UI what one call of a step does, no more often than they need."""

    def __init__(
        self,
        name: str,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        flow_run_id: UUID | None = None,
        task_run_id: UUID | None = None,
    ) -> None:
        self.name, self.logger = name, logger
        self.page = Page(flow_run_id, task_run_id, logger)
        self.pace: Pace | None = None
        self.told_page = False
        self.last_line = self.last_page = time.monotonic()
        self.bar: TaskID | None = None
        self.curves: dict[str, Curve] = {}
        self.lock = threading.Lock()

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Move the bar; now and then say it in the log and on the page."""
        now = time.monotonic()
        with self.lock:
            if self.pace is None:
                self.pace = Pace(done, now)
            figures = self.pace.figures(done, total, unit, now)
            if terminal is not None and terminal.console.is_terminal:
                if self.bar is None:
                    self.bar = terminal.bars.add_task(self.name, total=total, figures=figures)
                terminal.bars.update(self.bar, completed=done, total=total, figures=figures)
            elif terminal is not None and now - self.last_line >= LINE_SECONDS:
                self.last_line = now
                terminal.line(f"  {self.name}: {figures}")
            if now - self.last_page >= UI_SECONDS:
                self.last_page = now
                self.logger.info("%s: %s", self.name, figures)
                if total:
                    self.told_page = True
                    self.page.progress(f"{self.name} progress", min(100.0, 100 * done / total))

    def info(self, message: str) -> None:
        """A line for the log."""
        self.logger.info(message)

    def warning(self, message: str) -> None:
        """A line for the log and the terminal."""
        message = message.removeprefix(f"{self.name}: ")  # which the step may have said
        self.logger.warning("%s: %s", self.name, message)
        if terminal is not None:
            terminal.line(f"  ! {self.name}: {message}")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        """A table on the run's page."""
        self.page.table(name, rows, description)

    def series(self, name: str, point: Mapping[str, float]) -> None:
        """A point of a curve, drawn on the page while it grows."""
        curve = self.curves.setdefault(name, Curve(name))
        curve.add(point)
        if time.monotonic() - curve.shown_at >= CURVE_SECONDS:
            self._show(curve)

    def _show(self, curve: "Curve") -> None:
        curve.shown_at = time.monotonic()
        try:
            drawn = curve.markdown(self.name)
        except Exception as error:
            # Ctrl-C while matplotlib is imported leaves halves of it behind, which raise anything.
            self.logger.warning("no picture of %s: %s: %s", curve.name, type(error).__name__, error)
            return
        self.page.markdown(f"{self.name} {curve.name}", drawn)

    def finished(self) -> None:
        """The step is done: its progress on the page says so, whatever it told last."""
        if self.told_page:
            self.page.progress(f"{self.name} progress", 100.0)

    def close(self) -> None:
        """Show what is still unshown, and take the bar away."""
        try:
            for curve in self.curves.values():
                self._show(curve)
        finally:
            if self.bar is not None and terminal is not None:
                terminal.bars.remove_task(self.bar)
            self.page.close()


class Pace:
    """How fast a step gets on from where it was met: what a try before it did is no work of this one."""

    def __init__(self, done: float, now: float) -> None:
        self.done, self.began = done, now

    def figures(self, done: float, total: float | None, unit: str, now: float) -> str:
        """Done, rate and time left; seconds on the clock of `now`."""
        seconds = now - self.began
        rate = (done - self.done) / seconds if seconds > 0 else 0.0
        if not total:
            told = f"{done:,.0f} {unit}"
        else:
            told = f"{done:,.0f} of {total:,.0f} {unit}"
        if rate <= 0:
            return told
        told += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.2g}/s"
        return f"{told}, {duration((total - done) / rate)} left" if total and total > done else told


class Curve:
    """Points that a step reports one by one, as a picture."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: list[dict[str, float]] = []
        self.shown_at = 0.0
        self.newest: dict[str, float] = {}
        self._pending: list[Mapping[str, float]] = []
        self._stride = 1

    def add(self, point: Mapping[str, float]) -> None:
        """Add a point. Of a long curve each point that is kept is the mean of as many as it takes."""
        self.newest = dict(point)
        self._pending.append(point)
        if len(self._pending) < self._stride:
            return
        self.points.append(_mean(self._pending))
        self._pending = []
        if len(self.points) >= CURVE_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [_mean(pair) for pair in pairs]
            self._stride *= 2

    def markdown(self, title: str) -> str:
        """A plot (PNG in a data URL: both versions of the UI show it) and the newest figures."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        shown = [*self.points, *([_mean(self._pending)] if self._pending else [])]
        x, *others = shown[0]
        y = self.name if self.name in others else others[0]
        figure = Figure(figsize=(7, 3.2), dpi=90, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        known = [point for point in shown if x in point and y in point]
        axes.plot([p[x] for p in known], [p[y] for p in known], color="#2563eb", linewidth=1.4)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(alpha=0.3)
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        encoded = base64.b64encode(picture.getvalue()).decode()
        newest = ", ".join(f"{name} {_short(value)}" for name, value in self.newest.items())
        return f"### {title}: {y}\n\n![{y}](data:image/png;base64,{encoded})\n\nNow: {newest}\n"


def _mean(points: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure, over the points that have it."""
    names = dict.fromkeys(name for point in points for name in point)
    found = {name: [point[name] for point in points if name in point] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


class Page:
    """What a run shows in the UI. The UI being away is worth a warning, never a failed run."""

    def __init__(
        self,
        flow_run_id: UUID | None,
        task_run_id: UUID | None,
        logger: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.flow_run_id, self.task_run_id, self.logger = flow_run_id, task_run_id, logger
        self.ids: dict[str, UUID] = {}
        self.client: SyncPrefectClient | None = None

    def progress(self, name: str, percent: float) -> None:
        """A progress bar."""
        self._put("progress", name, percent)

    def markdown(self, name: str, text: str) -> None:
        """Text with pictures, replaced when put again."""
        self._put("markdown", name, text)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        """A searchable table."""
        import json

        self._put("table", name, json.dumps([dict(row) for row in rows]), description)

    def _put(self, kind: str, name: str, data: Any, description: str = "") -> None:
        if self.flow_run_id is None:
            return
        key = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
        try:
            client = self._open()
            if name in self.ids:
                client.update_artifact(self.ids[name], ArtifactUpdate(data=data))
                return
            made = client.create_artifact(
                ArtifactCreate(
                    key=key,
                    type=kind,
                    data=data,
                    description=description or None,
                    flow_run_id=self.flow_run_id,
                    task_run_id=self.task_run_id,
                )
            )
            self.ids[name] = made.id
        except (httpx.HTTPError, PrefectException, OSError) as error:
            self.logger.warning("the UI did not take %s: %s", name, error)

    def _open(self) -> SyncPrefectClient:
        if self.client is None:
            self.client = get_client(sync_client=True)
            self.client.__enter__()
        return self.client

    def close(self) -> None:
        """Close the connection."""
        if self.client is not None:
            self.client.__exit__(None, None, None)
            self.client = None
