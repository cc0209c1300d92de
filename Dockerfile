# The image of a Bento; `make image` builds it, with the Bento's folder as the context. BASE is any image with Python 3.11
# or newer, venv and a shell; image.base in params.yaml names it. Nothing here reaches the network but pip.
ARG BASE=python:3.12-slim-trixie

FROM ${BASE} AS build
RUN python3 -m venv /tmp/tools && python3 -m venv --without-pip /app/venv
COPY src/requirements.txt /tmp/requirements.txt
# --no-deps: uv.lock lists them all. Wheels only: nothing is compiled, so no compiler is needed in any stage.
RUN /tmp/tools/bin/pip --python /app/venv/bin/python install --quiet --disable-pip-version-check --no-cache-dir \
    --require-hashes --no-deps --only-binary :all: --no-compile -r /tmp/requirements.txt
# What is never run: tests, sources and stubs of the packages, ONNX Runtime's tools and its library for other languages.
RUN cd /app/venv && rm -rf bin/activate* bin/Activate* include \
    && cd lib/python3*/site-packages \
    && rm -rf onnxruntime/transformers onnxruntime/quantization onnxruntime/tools onnxruntime/datasets \
        onnxruntime/capi/libonnxruntime.so* sklearn/datasets/data sklearn/datasets/images \
    && find . -type d \( -name tests -o -name test -o -name include \) -prune -exec rm -rf {} + \
    && find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \) \
        -delete
# Bytecode that is never checked against its source: a read-only system could not renew it. One process, as several give
# other bytes each time. Python's own images lack the standard library's. The files are all of one date, so that the same
# lock gives the same layer, whatever the commit.
RUN touch /tmp/before && lib=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && python3 -m compileall -q -j1 --invalidation-mode unchecked-hash /app/venv/lib \
    && python3 -m compileall -q -j1 -x '/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|(site|dist)-packages)/' \
        --invalidation-mode unchecked-hash "$lib" \
    && mkdir -p "/packages$lib" /packages/app && cd "$lib" \
    && find . -name '*.pyc' -newer /tmp/before -exec cp --parents {} "/packages$lib" \; \
    && mv /app/venv /packages/app/venv && chmod -R a+rX,go-w /packages \
    && find /packages -exec touch --no-dereference --date @315532800 {} +
COPY bento.yaml /bento/app/bento/bento.yaml
COPY src /bento/app/bento/src
ARG SOURCE_DATE_EPOCH=315532800
RUN python3 -m compileall -q -j1 -s /bento --invalidation-mode unchecked-hash /bento && chmod -R a+rX,go-w /bento \
    && find /bento -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
# What the base has for installing packages, and what it left behind.
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/bin/pip* /usr/lib/python3*/ensurepip \
    /usr/local/lib/python3*/ensurepip /usr/share/python-wheels /var/lib/apt/lists/* /var/cache/apt/* \
    /var/cache/debconf/*-old /root/.cache /root/.*_history
COPY --from=build /packages /
COPY --from=build /bento /
# HOME and BENTOML_HOME must be writable: mount a tmpfs or a volume there where the root file system is read-only.
ENV PATH=/app/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_PORT=3000 \
    BENTOML_DO_NOT_TRACK=True \
    ORT_DISABLE_TELEMETRY=1 \
    SLIPWAY_RELEASE=/app/bento/src/release
WORKDIR /app/bento/src
# Its number, so that Kubernetes can tell that it is not root; any other does as well.
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-I", "-S", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['BENTOML_PORT']), timeout=2); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "slipway.service.start", "/app/bento"]
CMD ["--timeout-graceful-shutdown", "30"]
