import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from servers import serving

from slipway.service.release import MODEL, example, load_golden
from slipway.signature import load_signature


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """What OpenTelemetry's exporters send to, on this machine; gives its URL and the spans that came."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            spans.extend(span for part in sent.resource_spans for scope in part.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()


def test_requests_are_spans_of_the_caller_s_trace_where_tracing_is_configured(
    releases: Callable[[str], Path], tmp_path: Path
) -> None:
    release = releases("churn")
    row = example(load_signature(release / MODEL), load_golden(release / MODEL))
    trace, parent = f"{7:032x}", f"{9:016x}"
    with (
        collector() as (url, spans),
        serving(release, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="100") as server,
    ):
        answer = server.ask(row, headers={"traceparent": f"00-{trace}-{parent}-01"})
        assert answer.status_code == 200
        assert server.ask({}).status_code == 422
        server.get("/metrics")
        end = time.monotonic() + 20
        while len(spans) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
    assert {span.name for span in spans} == {"POST /predict"}
    assert [span.trace_id.hex() for span in spans].count(trace) == 1


def test_a_collector_that_is_down_fails_no_request(releases: Callable[[str], Path], tmp_path: Path) -> None:
    release = releases("churn")
    row = example(load_signature(release / MODEL), load_golden(release / MODEL))
    with serving(
        release, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="50"
    ) as server:
        for _ in range(5):
            assert server.ask(row).status_code == 200
            time.sleep(0.1)
