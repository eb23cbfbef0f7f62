# Two stages: the first builds, the second has the program and the libraries it links, and runs as a user of its own.
# See deploy/README.md for the folder, the ports and a read-only root.
FROM debian:bookworm-slim AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      cmake ninja-build gcc libc6-dev pkg-config libuv1-dev libssl-dev libpq-dev libjansson-dev libmicrohttpd-dev \
      libyaml-dev libxxhash-dev zlib1g-dev libcurl4-openssl-dev libwslay-dev libgeos-dev libical-dev \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
WORKDIR /src
COPY CMakeLists.txt ./
COPY migrations migrations
COPY include include
COPY server server
RUN cmake -S . -B build -G Ninja -DTESTS=OFF \
 && cmake --build build --target signalbox \
 && strip --strip-debug build/signalbox

FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates libuv1 libssl3 libpq5 libjansson4 libmicrohttpd12 libyaml-0-2 libxxhash0 zlib1g libcurl4 libwslay1 libgeos-c1v5 libical3 \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
 && groupadd --system --gid 10001 signalbox \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/signalbox --shell /usr/sbin/nologin signalbox \
 && install -d -o signalbox -g signalbox -m 0750 /var/lib/signalbox
COPY --from=build /src/build/signalbox /usr/local/bin/signalbox
COPY deploy/docker-entrypoint /usr/local/bin/docker-entrypoint
COPY deploy/demo /usr/local/bin/signalbox-demo
USER 10001:10001
WORKDIR /var/lib/signalbox
VOLUME /var/lib/signalbox
EXPOSE 8883 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["docker-entrypoint", "healthy"]
ENTRYPOINT ["docker-entrypoint"]
CMD ["serve"]
