"""An emulated AWS in one process: `python -m sandbox.aws --port N`. `sandbox.emulator` adds what ministack lacks."""

import argparse
import asyncio
import os

REGION = "us-east-1"


def serve(port: int) -> None:
    """Serve until the process ends."""
    # ministack reads these variables when it is imported.
    os.environ |= {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR", "LAMBDA_STRICT": "0"}
    os.environ |= {"AUTH": "true", "MINISTACK_REGION": REGION, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}

    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    from sandbox.emulator import app  # noqa: PLC0415

    # The functions inherit this environment, and Powertools would take its log level from LOG_LEVEL.
    del os.environ["LOG_LEVEL"]
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.backlog = 1024
    config.keep_alive_timeout = 75
    config.loglevel = "ERROR"
    asyncio.run(hypercorn_serve(app, config))


def main() -> None:
    """Serve the emulated AWS on a port of 127.0.0.1."""
    parser = argparse.ArgumentParser(description="Emulated AWS of the sandbox.")
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
