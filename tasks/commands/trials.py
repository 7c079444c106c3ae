"""Trials of pretraining on this machine, kept beside the store: how fast a model trains here."""

import dataclasses
import datetime
import json
import os
import shutil
import socket
import time
from pathlib import Path

from llm.durable import write_json
from llm.fingerprint import digest_values, fingerprint, plain
from llm.machine import Machine
from llm.parts import modules, only
from llm.store import Store
from llm.training.pretrain.settings import PretrainSettings
from llm.training.ranks import launch
from llm.training.scaling import trial
from llm.training.scaling.trial import Trial
from llm.words import counted
from tasks.stages.pretrain import parts_of

GPUS = Path("/proc/driver/nvidia/gpus")  # what the driver tells, without importing torch


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials made on a machine, in `folder`/trials; unfinished ones in the store's work."""

    folder: Path
    store: Store
    machine: Machine

    def find(self, values: PretrainSettings, vocabulary: int) -> tuple[Trial, str] | None:
        """A trial that was made before and holds for these settings, and a word on it."""
        return _read(self._path(self._key(values, vocabulary)))

    def get(self, values: PretrainSettings, vocabulary: int) -> tuple[Trial, str]:
        """The same, made where there is none. Raises BadInput and TrainingError as training does."""
        key = self._key(values, vocabulary)
        path = self._path(key)
        if (found := _read(path)) is not None:
            return found
        with self.store.work("trial", key) as folder:
            found = _read(path)  # another process may have made it while this one waited
            if found is None:
                try:
                    with only(parts_of(values)):  # as the step has them, loaded before ranks fork
                        made = trial.measure(values, vocabulary, self.machine, folder / "run")
                finally:
                    shutil.rmtree(folder)
                write_json(path, {"at": time.time(), "trial": dataclasses.asdict(made)})
                found = _read(path)
        assert found is not None
        return found

    def _path(self, key: str) -> Path:
        return self.folder / "trials" / f"{key}.json"

    def _key(self, values: PretrainSettings, vocabulary: int) -> str:
        """Digest of all that a trial's result depends on."""
        on_gpu = launch.on_gpu(self.machine.device)
        return digest_values(
            {
                "settings": plain(trial.trial_settings(values, self.machine)),
                "vocabulary": vocabulary,
                "processes": launch.processes_for(self.machine, values.data_parallel),
                "micro_batch": launch.micro_batch(self.machine, values.model.context_length),
                "device": gpu_name() if on_gpu else "cpu",
                "host": socket.gethostname(),
                "cores": len(os.sched_getaffinity(0)),
                "code": fingerprint(trial.__name__, *modules(parts_of(values))).digest,
            }
        )


def _read(path: Path) -> tuple[Trial, str] | None:
    if not path.exists():
        return None
    note = json.loads(path.read_bytes())
    made = Trial(**note["trial"])
    at = datetime.datetime.fromtimestamp(note["at"], datetime.UTC)
    processes = counted(made.processes, "process", "processes")
    how = f"{counted(made.steps, 'step')} tried on made-up tokens with {processes}, {at:%Y-%m-%d %H:%M} UTC"
    return made, how


def gpu_name() -> str | None:
    """What the driver calls the first GPU; None where there is none, or it does not tell."""
    for path in sorted(GPUS.glob("*/information")):
        for line in path.read_text().splitlines():
            field, _, value = line.partition(":")
            if field == "Model":
                return value.strip()
    return None
