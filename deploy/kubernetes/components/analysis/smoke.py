"""Asks a service for the example of its own /openapi.json, for a while, so that the analysis has numbers to look at.

Ends with exit code 1 where an answer is no prediction, is its fallback's and not the model's, or is of another version
than the service says.
"""

import json
import sys
import time
from http.client import HTTPConnection, HTTPException
from typing import Any

REQUESTS = 60
PATIENCE = 60  # seconds until a new Service leads somewhere


def main(host: str, seconds: float) -> None:
    """Ask so many seconds long, and end the process."""
    openapi = _when_there(host, "/openapi.json")
    version = _ask(host, "GET", "/model")["version"]
    content = openapi["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    records = content["examples"]["records"]["value"]
    for _ in range(REQUESTS):
        answer = _ask(host, "POST", "/predict", records)
        if answer["fallback"] is not None:
            sys.exit(f"error: {answer['fallback']} answered in the model's place")
        if answer["model_version"] != version:
            sys.exit(f"error: version {answer['model_version']} answered, not {version}")
        if len(answer["predictions"]) != len(records):
            sys.exit(f"error: {len(answer['predictions'])} predictions for {len(records)} records")
        time.sleep(seconds / REQUESTS)
    sys.stdout.write(f"{REQUESTS} requests answered by version {version}\n")


def _when_there(host: str, path: str) -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return _ask(host, "GET", path)
        except (OSError, HTTPException) as error:
            if time.monotonic() > end:
                sys.exit(f"error: {host} cannot be asked: {error}")
            time.sleep(1)


def _ask(host: str, method: str, path: str, content: Any = None) -> Any:
    connection = HTTPConnection(host, timeout=15)
    try:
        body = None if content is None else json.dumps(content)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.status != 200:
        sys.exit(f"error: {method} {path} was answered with {response.status}: {text[:500]}")
    return json.loads(text)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
