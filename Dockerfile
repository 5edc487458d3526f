# One image a process kind: `docker build --target ingest --tag moselle/ingest:0.1.0 .`
# Dependencies are a layer of each image; Moselle's own code is one layer that all of them share.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS python

FROM python AS code
WORKDIR /build
COPY pyproject.toml setup.py README.md LICENSE ./
COPY proto proto
COPY moselle moselle
COPY services services
RUN python -m pip install --no-cache-dir --no-deps --target /app .

# An environment without pip. The packages here are empty shells: dependencies change less often than code.
FROM python AS dependencies
WORKDIR /build
COPY pyproject.toml setup.py constraints.txt ./
RUN mkdir moselle services && touch README.md moselle/__init__.py services/__init__.py \
    && python -m venv --without-pip /opt/venv
ENV PIP="python -m pip --python /opt/venv/bin/python"

FROM dependencies AS ingest-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[ingest]' && $PIP uninstall -y moselle

FROM dependencies AS features-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[features]' && $PIP uninstall -y moselle

FROM dependencies AS logbert-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[logbert]' && $PIP uninstall -y moselle

FROM dependencies AS logbert-gpu-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[logbert,gpu]' && $PIP uninstall -y moselle

FROM dependencies AS anomaly-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[anomaly]' && $PIP uninstall -y moselle

FROM dependencies AS predictor-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[predictor]' && $PIP uninstall -y moselle

FROM dependencies AS placement-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[placement]' && $PIP uninstall -y moselle

FROM dependencies AS tools-dependencies
RUN $PIP install --no-cache-dir -c constraints.txt '.[tools]' && $PIP uninstall -y moselle

# What runs: no root, nothing to write but /tmp, health and metrics on 8080.
FROM python AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin moselle
COPY --from=code /app /app
# One thread of BLAS and OpenMP a process: replicas use the cores, and threads that wait for each other cost latency.
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
    MOSELLE_HTTP_HOST=0.0.0.0 MOSELLE_HTTP_PORT=8080
WORKDIR /tmp
USER 10001:10001

# A service: its loop turns. `-P` keeps the working folder, which anything may write, out of the import path.
FROM runtime AS service
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-P", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['MOSELLE_HTTP_PORT'] + '/healthz', timeout=4)"]

# Two processes from one image: the stage; `receiver` as argument, which answers on OTLP's own port.
FROM service AS ingest
COPY --from=ingest-dependencies /opt/venv /opt/venv
ENV MOSELLE_INGEST_RECEIVER_HOST=0.0.0.0 MOSELLE_INGEST_RECEIVER_PORT=4318
EXPOSE 4318
ENTRYPOINT ["python", "-P", "-m", "services.ingest"]

# Three processes from one image: the stream; `history` and `online` as arguments.
FROM service AS features
COPY --from=features-dependencies /opt/venv /opt/venv
ENV MOSELLE_GRPC_HOST=0.0.0.0 MOSELLE_GRPC_PORT=50051
EXPOSE 50051
ENTRYPOINT ["python", "-P", "-m", "services.features"]

FROM service AS logbert
COPY --from=logbert-dependencies /opt/venv /opt/venv
ENTRYPOINT ["python", "-P", "-m", "services.logbert"]

# The same service with torch and CUDA; about 6 GB.
FROM service AS logbert-gpu
COPY --from=logbert-gpu-dependencies /opt/venv /opt/venv
ENTRYPOINT ["python", "-P", "-m", "services.logbert"]

FROM service AS anomaly
COPY --from=anomaly-dependencies /opt/venv /opt/venv
ENTRYPOINT ["python", "-P", "-m", "services.anomaly"]

FROM service AS predictor
COPY --from=predictor-dependencies /opt/venv /opt/venv
ENTRYPOINT ["python", "-P", "-m", "services.predictor"]

FROM service AS placement
COPY --from=placement-dependencies /opt/venv /opt/venv
ENV MOSELLE_GRPC_HOST=0.0.0.0 MOSELLE_GRPC_PORT=50051
EXPOSE 50051
ENTRYPOINT ["python", "-P", "-m", "services.placement"]

# What a deployment runs once, and people by hand: `moselle topics create`, `migrate`, `inventory publish`, `place`.
FROM runtime AS tools
COPY --from=tools-dependencies /opt/venv /opt/venv
ENTRYPOINT ["python", "-P", "-m", "moselle"]
CMD ["--help"]
