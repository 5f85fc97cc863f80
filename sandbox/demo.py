"""`make demo`: start the sandbox, deploy, and print a customer's coupons. `make serve`: keep the sandbox running."""

import argparse
import contextlib
import signal
import socket
import sys
import time

import requests
from rich.console import Console

from sandbox import sample_data
from sandbox.aws import REGION
from sandbox.gateway import certificates_path
from sandbox.preview import DIST_FOLDER, check_program
from sandbox.sample_data import APP_ID, CUSTOMER, SampleData
from sandbox.stack import API_FUNCTION, LOCALHOST, Process, Sandbox, free_port, log_in, run_preview, run_sandbox

_USUAL_PORT = 8000
_POLL_SECONDS = 0.5

console = Console()


def main() -> None:
    """Run the demo; with --serve, keep the sandbox running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep running until Ctrl-C")
    parser.add_argument("--program", type=check_program, default=DIST_FOLDER, help="folder of a built mini-program")
    arguments = parser.parse_args()
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop_signal, lambda *_: sys.exit(0))
    start = time.monotonic()

    def report(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - start:5.1f} s[/dim]  {step} …")

    with run_sandbox(report) as sandbox:
        console.print(f"[dim]{time.monotonic() - start:5.1f} s[/dim]  deployed")
        data = sample_data.load()
        print_certificates(sandbox)
        if arguments.serve:
            with run_preview(sandbox, arguments.program, _find_port()) as preview:
                print_instructions(sandbox, data)
                # print, not console.print: the last line is the bare URL.
                print(f"# Open the preview in a browser\n{preview.url}", flush=True)
                wait_for_end({"preview": preview, "mock platform": sandbox.platform, "emulated AWS": sandbox.aws})
        console.print("Next: make serve (the same, with the preview in a browser; needs Node.js)", highlight=False)


def wait_for_end(processes: dict[str, Process]) -> None:
    """Wait until a process ends by itself, and exit with an error. Normally, Ctrl-C ends all of them."""
    while True:
        for name, process in processes.items():
            status = process.popen.poll()
            if status is not None:
                raise SystemExit(f"the {name} ended with status {status}: the sandbox stops")
        time.sleep(_POLL_SECONDS)


def print_certificates(sandbox: Sandbox) -> None:
    """Log the sample customer in and print the certificates that can be redeemed in a store."""
    headers = log_in(sandbox.api_url, sandbox.platform.url)
    start = time.perf_counter()
    response = requests.get(f"{sandbox.api_url}{certificates_path()}", headers=headers, timeout=30)
    response.raise_for_status()
    view = response.json()
    milliseconds = (time.perf_counter() - start) * 1000
    for certificate in view["certificates"]:
        yuan = certificate["pay_amount"] / 100
        console.print(f"{certificate['title']} ({certificate['kind']}), ¥{yuan:.2f}, order {certificate['order_id']}")
    console.print(f"{len(view['certificates'])} certificates in {milliseconds:.0f} ms")


def print_instructions(sandbox: Sandbox, data: SampleData) -> None:
    """Print the URLs of the sandbox and commands that can be pasted into a shell."""
    console.print("\n[bold]The sandbox is running[/bold] (Ctrl-C stops it)")
    control, api = f"{sandbox.platform.url}/_sandbox", sandbox.api_url
    code_request = f'{{"app_id":"{APP_ID}","customer":"{CUSTOMER}"}}'
    fault = '{"kind":"code","call":"query_user_certificates","code":2100004,"times":4}'
    lines = f"""API           {sandbox.api_url}
Mock platform {sandbox.platform.url}
Emulated AWS  {sandbox.aws.url}

# Log a customer in (customers: {", ".join(data.customers)})
CODE=$(curl -s {control}/codes -d '{code_request}' | sed 's/.*: "\\(.*\\)".*/\\1/')
TOKEN=$(curl -s {api}/v1/sessions -H 'Content-Type: application/json' \\
  -d '{{"app_id":"{APP_ID}","code":"'$CODE'"}}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')

# List the certificates that the customer can redeem in a store
curl -s -H "Authorization: Bearer $TOKEN" {api}{certificates_path()}

# Use the operator's command with the sandbox, in a shell of its own
export AWS_ENDPOINT_URL={sandbox.aws.url} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={REGION}
export DOUYIN_OPEN_API={sandbox.platform.url} DOUYIN_LOGIN_API={sandbox.platform.url} REDEEM_STAGE=dev
.venv/bin/redeemctl doctor
aws logs tail /aws/lambda/{API_FUNCTION}   # the log, with the AWS CLI 2

# Let the next list fail: error 2100004 (system busy), also in its three retries. Then list again
curl -s {control}/faults -d '{fault}'
"""
    # print, not console.print: rich would wrap and color the commands.
    print(lines)


def _find_port() -> int:
    """Return the usual port of the preview, or a free port if another program uses it."""
    with contextlib.suppress(OSError), socket.create_server((LOCALHOST, _USUAL_PORT)):
        return _USUAL_PORT
    return free_port()


if __name__ == "__main__":
    main()
