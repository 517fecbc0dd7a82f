# syntax=docker/dockerfile:1
# One file for five images: SERVICE picks what is installed, so only pii carries presidio.
#   docker build --build-arg SERVICE=gateway -t modelmuxer-gateway .
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG SERVICE=gateway
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements-${SERVICE}.lock /tmp/requirements.lock
RUN python -m venv --without-pip /opt/modelmuxer \
 && python -m pip --python /opt/modelmuxer/bin/python install \
    --require-hashes --only-binary :all: -r /tmp/requirements.lock
COPY libs /opt/modelmuxer/app/libs
COPY services /opt/modelmuxer/app/services
RUN printf '#!/bin/sh\nexec /opt/modelmuxer/bin/python -P -m services "$@"\n' > /opt/modelmuxer/bin/modelmuxer \
 && chmod 0755 /opt/modelmuxer/bin/modelmuxer \
 && /opt/modelmuxer/bin/python -m compileall -q /opt/modelmuxer/app

FROM ${PYTHON_IMAGE}
ARG SERVICE=gateway
LABEL org.opencontainers.image.title="modelmuxer-${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/modelmuxer /opt/modelmuxer
RUN install -d -o 65532 -g 65532 -m 0700 /data
ENV PATH=/opt/modelmuxer/bin:$PATH \
    PYTHONPATH=/opt/modelmuxer/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS="" \
    HOME=/tmp \
    SERVICE=${SERVICE} \
    MODELMUXER_DATA_DIR=/data \
    MODELMUXER_GATEWAY__HOST=0.0.0.0 \
    MODELMUXER_PROBE_HOST=0.0.0.0 \
    MODELMUXER_PROBE_PORT=8080
USER 65532:65532
WORKDIR /data
EXPOSE 8000 8080
STOPSIGNAL SIGTERM
# The shell is replaced, so that signals reach Python.
ENTRYPOINT ["/bin/sh", "-c", "exec modelmuxer \"${@:-$SERVICE}\"", "modelmuxer"]
