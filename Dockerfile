# syntax=docker/dockerfile:1

# One image for every role: docker run IMAGE workers hold, docker run IMAGE ingress, docker run IMAGE waiting_room migrate.
# It writes nothing: run it with a read-only root, as compose.yaml and deploy/ do.

# The digest decides, the tag is for people. Change both together: docker buildx imagetools inspect python:TAG
ARG PYTHON_TAG=3.11-slim-bookworm
ARG PYTHON_DIGEST=sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM python:${PYTHON_TAG}@${PYTHON_DIGEST} AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements/run.txt ./
# What has no wheel would need a compiler, and would not be what was tested.
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --only-binary :all: \
    --require-hashes -r run.txt
WORKDIR /app
COPY waiting_room ./waiting_room
COPY ingress ./ingress
COPY workers ./workers
COPY clinic_adapter ./clinic_adapter
# Compiled here, since nobody may write there. Unchecked: a file's time says nothing in an image.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app

# What only the simulators need beside it.
FROM build AS build-simulators
WORKDIR /build
COPY requirements/simulators.txt ./
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --only-binary :all: \
    --require-hashes -r simulators.txt

FROM python:${PYTHON_TAG}@${PYTHON_DIGEST} AS product
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# A number, so that runAsNonRoot can be checked; it owns nothing here.
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m"]
CMD ["waiting_room", "--help"]

# What we do not own, for compose.yaml: clinics and a webhook receiver, simulated, and the world they are in.
FROM product AS simulators
COPY --from=build-simulators /opt/venv /opt/venv
USER 0:0
# A new volume takes its owner from the folder it is mounted on.
RUN install --directory --owner 10001 --group 10001 /world
USER 10001:10001
COPY devstack/__init__.py devstack/world.py ./devstack/
COPY loadtest ./loadtest

FROM product AS waiting-room
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="Waiting Room" \
      org.opencontainers.image.version="${VERSION}"
