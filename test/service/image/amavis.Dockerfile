# An image of amavis and SpamAssassin as mlan/postfix-amavis is one, on Debian: entry scripts, then runit.
# The test appends Dockerfile.fragment, which brings spamd.
FROM localhost/learnd-debian
ENV SVDIR=/etc/service SYSLOG_LEVEL=5 DOCKER_MILT_RUNAS=amavis
# no service starts while it is installed, as in Debian's own images
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && \
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install \
    --no-install-recommends amavisd-new spamassassin runit && apt-get clean && rm -rf /var/lib/apt/lists/*
# sa_group of kopano-spamd: the same number as in Kopano's container
RUN groupmod --gid 5002 amavis && chgrp -R amavis /var/lib/amavis
COPY rspamd-image/bin /usr/local/bin/
COPY rspamd-image/entry.d /etc/docker/entry.d/
COPY amavis-image/bin /usr/local/bin/
COPY amavis-image/50-user /etc/amavis/conf.d/
COPY amavis-image/local.cf /etc/spamassassin/
COPY amavis-image/service /etc/service/
ENTRYPOINT ["entrypoint"]
CMD ["runsvdir", "-P", "/etc/service"]
