# The service and nothing else: no database, no compiler, no package tools of its own. It writes nothing; give it
# a read-only root. tests/deploy/test_dockerfile.py checks its rules and replays its steps.
#
# The tag names version and system; who builds releases pins its digest too (--build-arg PYTHON=...@sha256:...).
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
RUN apt-get update \
 && apt-get install --no-install-recommends --yes gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/build.txt requirements/image.txt requirements/
RUN python -m venv tools \
 && tools/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt
RUN python -m venv --without-pip /opt/contactservice \
 && tools/bin/pip --python /opt/contactservice/bin/python install --no-cache-dir --no-compile --no-deps \
    --require-hashes --only-binary :all: -r requirements/image.txt
COPY clients/python clients/python
COPY native native
COPY service service
COPY pyproject.toml README.md ./
RUN tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir wheels ./clients/python . \
 && tools/bin/pip --python /opt/contactservice/bin/python install --no-compile --no-deps --no-index wheels/*.whl
# Compiled ahead, as the running service may not write; and an image without the compiled part is not built.
RUN /opt/contactservice/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/contactservice/lib \
 && /opt/contactservice/bin/python -P -c 'import service._native'

FROM ${PYTHON}
LABEL org.opencontainers.image.title="ContactService" \
      org.opencontainers.image.description="The system of record for the people a product talks to: a gRPC service on MongoDB"
COPY --from=build /opt/contactservice /opt/contactservice
ENV PATH=/opt/contactservice/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CONTACTSERVICE_ADDRESS=0.0.0.0:50051 \
    CONTACTSERVICE_DATA_DIR=/tmp/contactservice \
    CONTACTSERVICE_LOG_FORMAT=json
WORKDIR /
USER 10001:10001
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# Of the settings of the container: --address, and --tls-cert with --tls-key.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["contactservice", "health"]
ENTRYPOINT ["contactservice"]
CMD ["serve"]
