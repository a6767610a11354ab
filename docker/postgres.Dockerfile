# A stand-in for the official `postgres` image where no image registry can be reached. It is made
# of Debian's own packages by docker/base-images and has the behaviour that the tests and
# docker/compose.yml rely on: the variables, the start-up scripts and the words in the log.
#
#   docker build -f docker/postgres.Dockerfile --build-arg BASE=debian:trixie-slim \
#       --build-arg VERSION=17 docker/config
ARG BASE=debian:trixie-slim
FROM ${BASE}
ARG VERSION=17

# No cluster at installation: the entry point makes one in PGDATA, which may be a volume.
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get -qq update; \
    apt-get -qq install -y --no-install-recommends postgresql-common; \
    mkdir -p /etc/postgresql-common/createcluster.d; \
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/none.conf; \
    apt-get -qq install -y --no-install-recommends "postgresql-${VERSION}"; \
    rm -rf /var/lib/apt/lists/*; \
    install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data; \
    install -d -o postgres -g postgres -m 0755 /run/postgresql; \
    mkdir /docker-entrypoint-initdb.d

COPY postgres-entrypoint /usr/local/bin/docker-entrypoint.sh

ENV LANG=C.UTF-8 \
    PGDATA=/var/lib/postgresql/data \
    PATH=/usr/lib/postgresql/${VERSION}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# Fast shutdown: the sessions are ended, nothing waits for clients to leave.
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
