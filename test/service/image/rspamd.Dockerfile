# An rspamd image as mlan/rspamd is one, on Debian: entry scripts, then runit. The test appends
# Dockerfile.fragment.
FROM localhost/learnd-debian
ENV SVDIR=/etc/service SYSLOG_LEVEL=5
RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install \
    --no-install-recommends rspamd redis-server runit && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY rspamd-image/bin /usr/local/bin/
COPY rspamd-image/entry.d /etc/docker/entry.d/
COPY rspamd-image/local.d /etc/rspamd/local.d/
COPY rspamd-image/service /etc/service/
ENTRYPOINT ["entrypoint"]
CMD ["runsvdir", "-P", "/etc/service"]
