# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release && strip target/release/lintel

# Contains glibc and CA certificates, no shell. Does not run as root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/lintel /lintel
COPY --from=build /src/config.toml /etc/lintel/config.toml
# The data port listens on all addresses, because other containers are not on loopback. Do not publish the admin port.
ENV LINTEL_CONFIG=/etc/lintel/config.toml \
    LINTEL__SERVER__LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s CMD ["/lintel", "healthcheck"]
ENTRYPOINT ["/lintel"]
CMD ["serve"]
