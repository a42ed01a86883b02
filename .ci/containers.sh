# Sourced before the tests marked `container`: sets up Podman on a small machine without systemd, as root, and the base
# image of deploy/docker/Dockerfile. If no registry is reachable, Debian bookworm with its own Python 3.11 replaces it.
_folder=${GLIOMAP_IMAGES:-$HOME/.cache/gliomap/images}
_base=docker.io/library/python:3.11-slim-bookworm
_packages="podman buildah runc netavark aardvark-dns iptables catatonit mmdebstrap"

if ! dpkg-query --show $_packages >/dev/null 2>&1; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends $_packages
fi

mkdir -p "$_folder"
# crun requests control groups from systemd, runc does not; and the machine's own limits may exceed what runc can set.
cat >"$_folder/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
CONF
cat >"$_folder/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$_folder/store"
runroot = "$_folder/run"
CONF
export CONTAINERS_CONF=$_folder/containers.conf CONTAINERS_STORAGE_CONF=$_folder/storage.conf

if ! podman image exists $_base && ! timeout 60 podman pull --quiet $_base; then
  mmdebstrap --quiet --variant=minbase --include=python3,python3-pip --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='ln -s python3 "$1/usr/bin/python"' --customize-hook='rm "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
    bookworm - |
    podman import --quiet --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - $_base
fi
