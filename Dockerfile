# What the image is made of, in one place. Pin each by its digest before you rely on it: docs/container.md says how.
# The builder's Rust is that of rust-toolchain.toml; both are of Debian 12, so that the C library is the same.
ARG BUILDER_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER_IMAGE} AS builder
WORKDIR /build
# The dependencies alone, in a layer that is built again only when a manifest changes. Cargo wants every target of the
# manifest to have a file; ours are cleaned away, because Cargo would take the empty ones for newer than the real ones.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/daemon \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs benches/schedules.rs \
    && cp src/main.rs benches/daemon/main.rs \
    && cargo build --locked --release --bin tenacron \
    && cargo clean --locked --release --package tenacron
COPY build.rs ./
COPY src ./src
# The commit that `tenacron --version` shows: there is no .git here.
ARG REVISION=unknown
RUN TENACRON_COMMIT="${REVISION}" cargo build --locked --release --bin tenacron \
    && install -d -m 0700 /own/tenacron

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tenacron" \
      org.opencontainers.image.description="A self-hosted scheduler daemon for Amazon ECS and Fargate tasks" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /build/target/release/tenacron /usr/local/bin/tenacron
COPY LICENSE LICENSE-APACHE LICENSE-MIT /usr/share/doc/tenacron/
# Its own folders for state and control socket. As volumes they can be written where the root file system can not, and
# whoever mounts something else there may.
COPY --from=builder --chown=65532:65532 /own/ /var/lib/
COPY --from=builder --chown=65532:65532 /own/ /run/
USER 65532:65532
# Ends the build if the runtime lacks a library.
RUN ["/usr/local/bin/tenacron", "--version"]
VOLUME ["/var/lib/tenacron", "/run/tenacron"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/tenacron", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/tenacron"]
CMD ["run"]
