#!/bin/sh
# KubeRay starts this again, on a new cluster, when the job fails: a search that has begun goes on.
set -eu
if [ -e /srv/paretune/runs/reviews/spec.yaml ]; then
    exec paretune resume reviews --storage /srv/paretune/runs --address auto
fi
exec paretune search /etc/paretune/search.yaml --address auto
