"""`python tests/contract/table.py`: run the contract and print which host holds what, as the README's table."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

HERE = Path(__file__).parent
# What the README says of each test.
WORDS = {
    "test_no_token_is_held_back": "each token arrives before the model sends the next one, even if the browser accepts compression",
    "test_text_comes_exactly": "difficult text arrives unchanged, letter by letter",
    "test_a_closed_tab_stops_the_model": "closing the tab stops the model: before the answer, while it is silent, in the text",
    "test_a_closed_tab_stops_a_plain_answer": "the same for a JSON answer",
    "test_a_tab_closed_while_a_middleware_holds_the_response": "closing the tab while a slow middleware holds the response",
    "test_an_early_failure_is_a_status": "an early failure has an error status",
    "test_a_late_failure_is_an_event": "a later failure is an error event, without [DONE]",
    "test_the_status_waits_for_one_heartbeat_at_most": "the status waits for one heartbeat at most; then comments are sent",
    "test_a_browser_that_does_not_read": "a browser that does not read holds up only its own stream",
    "test_what_is_not_let_in": "content type, login, CSRF, origin, size and body are checked",
    "test_an_old_browser": "HTTP/1.0",
    "test_head_of_a_stream_asks_nobody": "HEAD calls no model",
    "test_users_are_told_apart": "each call is recorded for the user who made it",
    "test_the_browser_leaves_while_a_tool_runs": "closing the tab while a tool runs: nothing is left behind",
    "test_no_row_stays_open": "no row is left open at SIGTERM",
}


def main() -> int:
    """Run the contract and print the table; return pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", str(HERE), f"--junitxml={report}"]
        code = subprocess.run(command, stdout=sys.stderr, check=False, env=os.environ).returncode
        cases = ET.parse(report).iter("testcase")  # noqa: S314  # our own file
        outcomes: dict[tuple[str, str], list[str]] = defaultdict(list)
        hosts: dict[str, None] = {}
        for case in cases:
            name, _, parameters = case.attrib["name"].partition("[")
            for host in _hosts(parameters):
                hosts[host] = None
                outcomes[name, host].append(next((child.tag for child in case), "passed"))
    print(f"| | {' | '.join(host.replace('-', ' ') for host in hosts)} |")
    print(f"|---|{'---|' * len(hosts)}")
    for name, words in WORDS.items():
        cells = [_cell(outcomes[name, host]) for host in hosts]
        print(f"| {words} | {' | '.join(cells)} |")
    return code


def _hosts(parameters: str) -> list[str]:
    from contract.hosts import HOSTS  # found once the path is set

    return [host for host in HOSTS if host in parameters]


def _cell(outcomes: list[str]) -> str:
    kinds = set(outcomes)
    if kinds == {"passed"}:
        return "✓"
    return "n/a" if kinds == {"skipped"} else "✗"


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
