# What `cross` builds and tests in for 32-bit ARM. BASE: any Debian 11 image; cross/podman makes one without a registry.
ARG BASE=docker.io/library/debian:bullseye-slim
FROM ${BASE}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user-static \
    && rm -rf /var/lib/apt/lists/*
# A Raspberry Pi 2.
ENV QEMU_CPU=cortex-a7 \
    QEMU_LD_PREFIX=/usr/arm-linux-gnueabihf \
    CC_armv7_unknown_linux_gnueabihf=arm-linux-gnueabihf-gcc \
    CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER=arm-linux-gnueabihf-gcc \
    CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_RUNNER=qemu-arm-static
