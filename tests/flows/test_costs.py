"""Costs as people read them."""

from flows.costs import rows


def test_what_is_not_known_is_said() -> None:
    costs = {
        "parameters": 557_952,
        "vocabulary": 2048,
        "steps": 1465,
        "steps_done": 0,
        "tokens": 3_000_320,
        "flops": 11_207_851_376_640,
        "seconds": None,
        "memory_bytes": None,
        "device_bytes": None,
        "state_bytes": 11_796_480,
        "artifact_bytes": 9_828_923,
        "work_bytes": 40_891_510,
        "free_bytes": 10**9,
        "how": "not tried on this machine (--no-trial)",
    }
    shown = dict(rows(costs))
    assert shown["time"] == "unknown"
    assert shown["memory"].startswith("unknown; 11.8 MB at least")
    assert shown["operations"].startswith("1.12e+13")
    assert shown["disk"] == "9.83 MB in the end, 40.9 MB at most while it runs; 1 GB free"
    assert "not enough" in dict(rows({**costs, "free_bytes": 10**7}))["disk"]
    measured = dict(rows({**costs, "memory_bytes": 2 * 10**9, "device_bytes": 3 * 10**9}))
    assert dict(rows({**costs, "seconds": 109.0}))["time"] == "1 min 49 s"
    assert measured["memory"] == "2 GB and 3 GB of the GPU's"
