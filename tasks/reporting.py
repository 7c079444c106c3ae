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

UI_SECONDS = 10.0
CURVE_SECONDS = 20.0
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
        self.started = time.monotonic()
        self.last_line = self.last_page = self.started
        self.bar: TaskID | None = None
        self.curves: dict[str, Curve] = {}
        self.lock = threading.Lock()

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Move the bar; now and then say it in the log and on the page."""
        now = time.monotonic()
        figures = _figures(done, total, unit, now - self.started)
        with self.lock:
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
                    self.page.progress(f"{self.name} progress", min(100.0, 100 * done / total))

    def info(self, message: str) -> None:
        """A line for the log."""
        self.logger.info(message)

    def warning(self, message: str) -> None:
        """A line for the log and the terminal."""
        self.logger.warning("%s: %s", self.name, message)
        if terminal is not None:
            terminal.line(f"  ! {self.name}: {message}")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        """A table on the run's page."""
        self.page.table(name, rows, description)

    def series(self, name: str, point: Mapping[str, float]) -> None:
        """A point of a curve, drawn anew on the page while it grows."""
        curve = self.curves.setdefault(name, Curve(name))
        curve.points.append(dict(point))
        if time.monotonic() - curve.shown_at >= CURVE_SECONDS:
            self._show(curve)

    def _show(self, curve: "Curve") -> None:
        curve.shown_at = time.monotonic()
        self.page.markdown(f"{self.name} {curve.name}", curve.markdown(self.name))

    def close(self) -> None:
        """Show what is still unshown, and take the bar away."""
        for curve in self.curves.values():
            self._show(curve)
        if self.bar is not None and terminal is not None:
            terminal.bars.remove_task(self.bar)
        self.page.close()


def _figures(done: float, total: float | None, unit: str, seconds: float) -> str:
    rate = done / seconds if seconds > 0 else 0.0
    if not total:
        return f"{done:,.0f} {unit}, {rate:,.0f}/s"
    left = (total - done) / rate if rate > 0 else 0.0
    return f"{done:,.0f} of {total:,.0f} {unit}, {rate:,.0f}/s, {left:,.0f} s left"


class Curve:
    """Points that a step reports one by one, as a picture."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: list[dict[str, float]] = []
        self.shown_at = 0.0

    def markdown(self, title: str) -> str:
        """A plot (PNG in a data URL: both versions of the UI show it) and the newest figures."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        x, *others = self.points[0]
        y = self.name if self.name in others else others[0]
        figure = Figure(figsize=(7, 3.2), dpi=90, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        known = [point for point in self.points if x in point and y in point]
        axes.plot([p[x] for p in known], [p[y] for p in known], color="#2563eb", linewidth=1.4)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(alpha=0.3)
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        encoded = base64.b64encode(picture.getvalue()).decode()
        newest = ", ".join(f"{name} {_short(value)}" for name, value in self.points[-1].items())
        return f"### {title}: {y}\n\n![{y}](data:image/png;base64,{encoded})\n\nNow: {newest}\n"


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
