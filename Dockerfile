# Flowlet as a container image. How to run it: docs/how-to/run-in-docker.md; to build it: docs/how-to/build-the-image.md.
#
# The tests pin the packages for this Python: constraints.txt. Another base needs python and pip, and glibc for the wheels.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm


FROM ${PYTHON_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
# What .dockerignore lets through: what the wheel is made of, and the constraints.
COPY . .
RUN pip install --constraint constraints.txt build hatchling \
    && python -m build --wheel --no-isolation --outdir /wheels
# Wheels only: a package that would have to be compiled fails here, and by its name.
RUN python -m venv --without-pip /opt/flowlet \
    && pip --python /opt/flowlet/bin/python install --only-binary :all: --constraint constraints.txt \
    "$(echo /wheels/*.whl)[mysql,postgres]"


FROM ${PYTHON_IMAGE}

# Where the image comes from: docker build --build-arg SOURCE=<address of the repository> --build-arg REVISION=<commit>
ARG SOURCE=""
ARG REVISION=""
LABEL org.opencontainers.image.title="Flowlet" \
      org.opencontainers.image.description="Durable workflows from decorated functions: every transition is one commit." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}"

# Of the group root, and writable by it: some clusters start containers as any user, but of that group.
RUN groupadd --gid 10001 flowlet \
    && useradd --uid 10001 --gid flowlet --home-dir /data --no-create-home --shell /usr/sbin/nologin flowlet \
    && install --directory --owner flowlet --group root --mode 0775 /data \
    && mkdir /flows
COPY --from=build /opt/flowlet /opt/flowlet

# PIP_PYTHON lets "pip install" in an image built on this one reach the environment that Flowlet runs in.
ENV PATH=/opt/flowlet/bin:$PATH \
    PIP_PYTHON=/opt/flowlet/bin/python \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/flows \
    PYTHONUNBUFFERED=1 \
    FLOWLET_DATABASE_URL=sqlite:////data/flowlet.db \
    FLOWLET_HOST=0.0.0.0
WORKDIR /data
EXPOSE 8080
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["/opt/flowlet/bin/python", "-I", "-c", "import os, http.client as http; port = os.environ.get('FLOWLET_PORT', ''); web = http.HTTPConnection('127.0.0.1', int(port if port.isdigit() else 8080), timeout=8); web.request('GET', '/readyz'); raise SystemExit(web.getresponse().status != 200)"]

# Started as root it hands /data to the user flowlet, and gives up root before anything else runs.
# Without a command it serves FLOWLET_MODULES, or the demo where there are none.
ENTRYPOINT ["/opt/flowlet/bin/python", "-I", "-m", "flowlet.cli.container"]
