# What `cross` builds and tests in for 64-bit ARM. BASE: any Debian 11 image; cross/podman makes one without a registry.
ARG BASE=docker.io/library/debian:bullseye-slim
FROM ${BASE}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static \
    && rm -rf /var/lib/apt/lists/*
# A Raspberry Pi 4 rather than QEMU's default, which has every extension and would let through what a board cannot run.
ENV QEMU_CPU=cortex-a72 \
    QEMU_LD_PREFIX=/usr/aarch64-linux-gnu \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static
