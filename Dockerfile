# Kronos fine-tuning in a container; docs/docker.md tells how to run it.
#
#   docker build -t kronos .                              # for a CPU
#   docker build -t kronos:cuda --build-arg DEVICE=cuda . # for NVIDIA GPUs: PyTorch's wheels bring CUDA, the host has the driver only

FROM python:3.11.14-slim-bookworm

ARG DEVICE=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 HOME=/home/kronos

# Chinese characters in pictures; for torch.compile on a GPU a C compiler.
# hadolint ignore=DL3008
RUN case "$DEVICE" in \
        cpu) set -- ;; \
        cuda) set -- gcc libc6-dev ;; \
        *) echo "DEVICE is cpu or cuda" >&2; exit 1 ;; \
    esac \
    && apt-get update \
    && apt-get install --yes --no-install-recommends fonts-wqy-zenhei "$@" \
    && rm -rf /var/lib/apt/lists/*

# Packages first: they change seldom. The same pinned PyTorch has a build without CUDA, which is a tenth of the size.
COPY requirements.txt /src/
RUN if [ "$DEVICE" = cpu ]; then \
        pip install --index-url https://download.pytorch.org/whl/cpu "$(grep ^torch== /src/requirements.txt)"; \
    fi \
    && pip install --requirement /src/requirements.txt "python-calamine==0.9.1"

COPY pyproject.toml README.md LICENSE /src/
COPY configs /src/configs/
COPY data /src/data/
COPY tests/golden/published /src/tests/golden/published/
COPY kronos /src/kronos/
RUN pip install --no-deps /src

# Any user may run it (--user), and the files that it writes then belong to that user.
RUN useradd --uid 1000 kronos \
    && mkdir --parents /work "$HOME/.cache/huggingface" \
    && chmod --recursive 0777 /work "$HOME"
USER 1000
WORKDIR /work
VOLUME ["/work", "/home/kronos/.cache"]

ENTRYPOINT ["kronos"]
CMD ["--help"]
