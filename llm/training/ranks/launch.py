"""Training as a guarded process group: started with torchrun, watched, and never left behind.

The parent's cancellation ends in SIGTERM for the group and a checkpoint; the parent's death, kill -9
included, ends the group within moments (every process asks the kernel for it).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.durable import write_json
from llm.parts import current
from llm.step import BadInput, Context, Reporter, WorkerLost
from llm.training.ranks.guard import AGAIN, NO_SPACE, SIGNALLED, STOPPED
from llm.training.ranks.room import check_room, disk_full
from llm.training.work import FAILURE, JOB, LOG, METRICS, STARTED

if TYPE_CHECKING:
    from llm.machine import Machine

STOP_SECONDS = 25  # from SIGTERM to SIGKILL: a checkpoint takes less, Prefect waits for 30
POLL_SECONDS = 0.2
TAIL_LINES = 30
GPU_MICRO_BATCH_TOKENS = 1 << 17  # to begin with, on a GPU
MICRO_BATCH_TOKENS = 4096  # of one forward pass, when the machine does not say
# glibc hands large tensors back to the kernel and gets them again, zeroed page by page, in every
# step; kept, and on huge pages, a step on the CPU takes some 10 % less. Other C libraries ignore it.
ALLOCATOR = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:"
    "glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=67108864"
)
NVIDIA_DRIVER = Path("/dev/nvidiactl")  # looked at instead of importing torch
VISIBLE = "CUDA_VISIBLE_DEVICES"  # which GPUs CUDA programs see, where not all


class TrainingError(RuntimeError):
    """Training failed for a reason that may not come back; the message ends with the log's tail."""


class TrainingInterrupted(TrainingError, WorkerLost):
    """A process of training was killed or preempted: training goes on from the last checkpoint."""


def processes_for(machine: "Machine", parts: int) -> int:
    """How many processes train: at most one a part, one a core when the machine does not say.

    On GPUs at most one a device, which its parts share one after another.
    """
    if on_gpu(machine.device):
        found = gpus()
        return max(1, min(machine.processes or found, found, parts))
    wanted = machine.processes or len(os.sched_getaffinity(0))
    return min(wanted, parts)


def gpus() -> int:
    """How many GPUs there are to train on, as far as can be told without importing torch."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len([path for path in NVIDIA_DRIVER.parent.glob("nvidia*") if path.name[6:].isdigit()])


def on_gpu(device: str) -> bool:
    """Whether training will be on a GPU, as far as can be told without importing torch."""
    return device == "cuda" or (device == "auto" and NVIDIA_DRIVER.exists())


def micro_batch(machine: "Machine", context_length: int) -> int:
    """Rows of one forward pass: the machine's, else as many as a number of tokens allows.

    On a GPU that number is large, and the loop halves it until it fits. It decides how float sums
    are bracketed, so another one gives equivalent results, not the same bits: on the CPU, without a
    machine setting, it depends on the recipe alone.
    """
    tokens = GPU_MICRO_BATCH_TOKENS if on_gpu(machine.device) else MICRO_BATCH_TOKENS
    return machine.micro_batch or max(1, tokens // context_length)


def how(machine: "Machine", context_length: int) -> dict[str, Any]:
    """The fields of a job that say how, not what, it trains."""
    return {
        "device": machine.device,
        "micro_batch": micro_batch(machine, context_length),
        "parallelism": machine.parallelism,
        "compiled": machine.compile,
        "parts": current(),
    }


def train(
    module: str,
    job: Mapping[str, Any],
    context: Context,
    *,
    parts: int,
    steps: int,
    most_bytes: int = 0,
) -> None:
    """`run` on as many processes as the machine has for `parts` partial gradients.

    most_bytes: the most that lies in the work folder at once, where that is much. Raises BadInput where the disk has no
    room for it.
    """
    check_room(context.work, most_bytes)
    run(module, job, context, processes_for(context.machine, parts), steps)


def run(module: str, job: Mapping[str, Any], context: Context, processes: int, steps: int) -> None:
    """Train: `module`'s `main` on `processes` ranks, each given a file with `job` as JSON.

    Returns when all ended well. Ranks that ask for it are started again, from the last checkpoint.
    Raises BadInput or TrainingError. On any exception here (such as a cancellation) the ranks are
    asked to stop, write a checkpoint, and are gone before it goes on.
    """
    work, report = context.work, context.report
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / JOB, job)
    status = AGAIN
    with (work / LOG).open("wb") as log:
        while status == AGAIN:
            for name in (STARTED, FAILURE):
                (work / name).unlink(missing_ok=True)
            with guarded(module, job, work, processes, log.fileno()) as agent:
                watch(agent, work, report, steps)
            status = agent.returncode
            if status == AGAIN:
                report.warning(
                    "a process ran out of memory: all start again from the last checkpoint, with half "
                    "the micro-batch"
                )
    if status != 0:
        raise failure(work, status)


def start_method(job: Mapping[str, Any]) -> str:
    """How ranks are started: forked on a CPU, where their agent's memory can be shared, see `agent`."""
    on_cpu = sys.platform == "linux" and not on_gpu(job["device"])
    return "fork" if on_cpu else "spawn"


@contextmanager
def guarded(
    module: str, job: Mapping[str, Any], work: Path, processes: int, log: int
) -> Iterator["subprocess.Popen[bytes]"]:
    """torchrun in a session of its own, gone (after SIGTERM, then SIGKILL) when the block is left.

    job: what `work` has in its job file.
    """
    command = [sys.executable, "-m", "llm.training.ranks.agent", str(os.getpid())]
    command += ["--nnodes=1", f"--nproc-per-node={processes}", "--rdzv-backend=c10d"]
    command += ["--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--max-restarts=0"]
    command += [f"--start-method={start_method(job)}", "--module", module, str(work / JOB)]
    checkout = str(Path(__file__).resolve().parents[3])
    paths = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{checkout}{os.pathsep}{paths}" if paths else checkout,
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # this checkout's code, not what lies in the folder one is in
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", ALLOCATOR),
    }
    agent = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )
    try:
        yield agent
    finally:
        stop(agent)


def stop(agent: "subprocess.Popen[bytes]") -> None:
    """End the agent and its ranks: SIGTERM (they write a checkpoint), SIGKILL after STOP_SECONDS."""
    if agent.poll() is not None:
        return
    os.killpg(agent.pid, signal.SIGTERM)
    try:
        agent.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # it had its time; what follows needs no consent
    finally:
        if agent.poll() is None:
            os.killpg(agent.pid, signal.SIGKILL)  # the ranks follow by PR_SET_PDEATHSIG
            agent.wait()


def watch(agent: "subprocess.Popen[bytes]", work: Path, report: Reporter, steps: int) -> None:
    """Turn the growing log of metrics into progress and a curve, until the agent has ended."""
    follower = Follower(work, report, steps)
    while agent.poll() is None:
        follower.look()
        time.sleep(POLL_SECONDS)
    follower.look()


class Follower:
    """Reads metrics.jsonl as it grows and tells a reporter each step once."""

    def __init__(self, work: Path, report: Reporter, steps: int) -> None:
        self.work, self.report, self.steps = work, report, steps
        self.position = -1  # before the ranks have cut the log back to their checkpoint
        self.begun: int | None = None  # which note of a (new) beginning was read: its inode
        self.known = 0  # steps that were told before the log was cut back while training went on
        self.told = 0.0

    def look(self) -> None:
        """Report what is new."""
        begun = self._beginning()
        if begun is None:
            return
        if begun != self.begun:
            self._begin(json.loads((self.work / STARTED).read_bytes()))
            self.begun = begun
        path = self.work / METRICS
        if not path.exists():
            return
        with path.open("rb") as log:
            log.seek(self.position)
            lines = log.readlines()
        if self._beginning() != self.begun:
            return  # the log was cut back meanwhile: its lines are read at the next look
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self.position += len(line)
            point = json.loads(line)
            if point["step"] > self.known:
                self._tell({name: value for name, value in point.items() if value is not None})

    def _beginning(self) -> int | None:
        started = self.work / STARTED
        return started.stat().st_ino if started.exists() else None

    def _begin(self, note: dict[str, Any]) -> None:
        """The ranks go on from a checkpoint, first of all or because something went wrong."""
        for warning in note["warnings"]:
            self.report.warning(warning)
        if note["step"]:
            self.report.info(f"training goes on from step {note['step']} of {self.steps}")
        if self.position >= 0:
            self.known = note["step"]
        self.position = 0

    def _tell(self, point: dict[str, float]) -> None:
        total = point["tokens"] / point["step"] * self.steps
        self.report.progress(point["tokens"], total, "tokens")
        self.report.series("loss", point)
        if point["step"] in (1, self.steps) or time.monotonic() - self.told > 10:
            self.told = time.monotonic()
            self.report.info(
                f"step {point['step']:.0f} of {self.steps}: loss {point['loss']:.4f}, "
                f"{point['tokens_per_second']:,.0f} tokens/s, learning rate {point['lr']:.2e}"
            )


def failure(work: Path, status: int) -> Exception:
    """Why training ended without finishing, as an exception to raise."""
    log = (work / LOG).read_text(errors="replace").splitlines() if (work / LOG).exists() else []
    note = json.loads((work / FAILURE).read_bytes()) if (work / FAILURE).exists() else None
    if status == NO_SPACE:
        return disk_full(work, note["message"] if note else "no space left on device")
    if note:
        if note["type"] == "BadInput":
            return BadInput(note["message"])
        return TrainingError(f"{note['message']}\nFull log: {work / LOG}")
    if status == STOPPED:
        return TrainingInterrupted(
            "training was stopped from outside after a checkpoint; run it again"
        )
    ended = f"ended with status {status}"
    if status > SIGNALLED:
        ended = (
            f"was ended by {signal.Signals(status - SIGNALLED).name} (out of memory, or by hand)"
        )
    elif status < 0:
        ended = f"was ended: its launcher got {signal.Signals(-status).name}"
    tail = "\n".join(log[-TAIL_LINES:])
    kind = TrainingInterrupted if status > SIGNALLED or status < 0 else TrainingError
    return kind(
        f"training {ended}. Run it again to go on from the last checkpoint. "
        f"The end of {work / LOG}:\n{tail}"
    )
