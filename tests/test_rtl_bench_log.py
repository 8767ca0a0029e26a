"""What the three simulators print, read back: texts as they were printed by them."""

import pytest

from hw_model.rtl.bench_log import Difference, judged

PASSED = "FRAMES 5 CYCLES 1225 LATENCY 1227\nPASS: 15 output lines\n"
FAILED = """\
CYCLES frame 2 ends after 740 cycles, should after 735
DIFFERENT totals.hex line 7 is 00000008 037xf should be 00000008 fcc01
DIFFERENT outputs.hex line 15 is 00000000 0029fe7, should not be
DIFFERENT outputs.hex has 16 lines, should have 15
CYCLES 4 of 5 frames were done after 14900 cycles
FRAMES 4 CYCLES 1225 LATENCY 1227
FATAL: hdl/bench.sv:190: FAIL: 5 differences
"""


def test_a_passed_run() -> None:
    run = judged(PASSED, True, None, 0.5)
    assert (run.passed, run.frames, run.cycles, run.latency) == (True, 5, 1225, 1227)
    assert (run.differences, run.stopped, run.log, run.seconds) == ((), None, PASSED, 0.5)


@pytest.mark.parametrize(
    ("log", "ended_well"),
    [
        (PASSED, False),
        (PASSED.replace("PASS", "PUSS"), True),
        ("PASS: 15 output lines\n", True),
        (f"DIFFERENT fifo.hex has 1 lines, should have 2\n{PASSED}", True),
        ("", True),
    ],
)
def test_anything_less_has_not_passed(log: str, ended_well: bool) -> None:
    assert not judged(log, ended_well, None, 0.0).passed


def test_differences_with_their_places() -> None:
    run = judged(FAILED, False, None, 0.0)
    assert run.stopped is None and not run.passed
    texts = FAILED.splitlines()
    assert run.differences == (
        Difference("cycles", 2, "740", "735", texts[0]),
        Difference("totals", 7, "00000008 037xf", "00000008 fcc01", texts[1]),
        Difference("outputs", 15, "00000000 0029fe7", None, texts[2]),
        Difference("outputs", None, None, None, texts[3]),
        Difference("cycles", None, None, None, texts[4]),
    )


@pytest.mark.parametrize(
    "log",
    [
        "FATAL: /b/checked_file.sv:52: fifo.hex: file is missing\n       Time: 0 Scope: bench\n",
        "[0] %Fatal: checked_file.sv:52: Assertion failed in bench.check_fifo.file.load: "
        "fifo.hex: file is missing\n%Error: checked_file.sv:52: Verilog $stop\nAborting...\n",
        "FATAL: fifo.hex: file is missing\n",
    ],
)
def test_why_a_bench_stopped(log: str) -> None:
    assert judged(log, False, None, 0.0).stopped == "fifo.hex: file is missing"


def test_a_run_that_gave_no_end_or_said_nothing() -> None:
    assert judged("half", False, "gave no end within 5 s", 5.0).stopped == "gave no end within 5 s"
    assert judged("", False, None, 0.0).stopped == "said nothing"
    assert judged("a\nSegmentation fault\n", False, None, 0.0).stopped == "Segmentation fault"
